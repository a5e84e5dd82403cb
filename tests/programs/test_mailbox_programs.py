"""maildir2mbox, elq and its sisters, maildirwatch, qsmhook: what the recorded cases do not show."""
import fcntl
import os
import subprocess
import time

import pytest

from pyqmail.programs import maildir2mbox, maildirwatch, qsmhook

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Box:
    def __init__(self, path):
        self.path, self.mbox = path, path / "mbox"
        for name in ("", "tmp", "new", "cur"):
            (path / "Maildir" / name).mkdir()
        self.environ = {"PATH": f"{path}/bin:/usr/bin:/bin", "MAIL": str(self.mbox), "MAILTMP": str(path / "mbox.tmp"),
                        "MAILDIR": str(path / "Maildir")}

    def put(self, name, data, mtime=1_000_000_000):
        (self.path / "Maildir" / name).write_bytes(data)
        os.utime(self.path / "Maildir" / name, (mtime, mtime))

    def start(self, program, *argv, **environ):
        return subprocess.Popen([f"{ROOT}/bin/{program}", *argv], env={**self.environ, **environ}, cwd=self.path,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, program="maildir2mbox", *argv, **environ):
        process = self.start(program, *argv, **environ)
        out, err = process.communicate()
        return process.returncode, out, err

    def left(self):
        return sorted(os.listdir(self.path / "Maildir/new") + os.listdir(self.path / "Maildir/cur"))


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


FROM = b"From XXX Sun Sep 09 01:46:40 2001\n"


@pytest.mark.parametrize("message, entry", [
    (b"a: b\n\nlast", FROM + b"a: b\n\nlast\n\n"),
    (b"no newline at all", FROM + b"no newline at all\n\n"),
    (b"From x", FROM + b">From x\n\n"),
    (b"Return-Path: <a@b>", FROM + b"Return-Path: <a@b>\n\n"),
    (b"x\n" * 100_000 + b"end", FROM + b"x\n" * 100_000 + b"end\n\n"),
    (b"x" * 200_000 + b"\n>From a\n", FROM + b"x" * 200_000 + b"\n>>From a\n\n"),
])
def test_nothing_is_lost(box, message, entry):
    box.mbox.write_bytes(b"old\n\n")
    box.put("new/1", message)
    assert box.run() == (0, b"", b"")
    assert box.mbox.read_bytes() == b"old\n\n" + entry and box.left() == []


def test_waits_for_the_lock_and_looks_again(box):
    """Whoever held the lock may have put another file in place of the mbox that was locked."""
    box.put("new/1", b"mine\n")
    box.mbox.write_bytes(b"before\n")
    with open(box.mbox) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = box.start("maildir2mbox")
        waiting = f"/proc/{process.pid}/syscall"
        while not open(waiting).read().startswith(f"{73} "):        # flock
            assert process.poll() is None
            time.sleep(0.01)
        (box.path / "other").write_bytes(b"after\n")
        os.rename(box.path / "other", box.mbox)
    assert process.communicate() == (b"", b"") and process.returncode == 0
    assert box.mbox.read_bytes() == b"after\n" + FROM + b"mine\n\n"


def test_a_message_that_cannot_be_removed_is_said(box, monkeypatch, capfd):
    monkeypatch.setattr(os, "unlink", lambda path: os.stat("/nonexistent"))
    maildir2mbox.remove([b"new/1"])
    assert capfd.readouterr().err == ("maildir2mbox: warning: $MAILDIR/new/1 will be delivered twice; "
                                      "unable to unlink: file does not exist\n")


def test_failure_leaves_everything(box):
    box.put("new/1", b"one\n")
    box.put("cur/2:2,S", b"two\n")
    box.mbox.write_bytes(b"old\n")
    code, _, said = box.run(MAILTMP="/proc/none")
    assert code == 111 and said.startswith(b"maildir2mbox: fatal: unable to create /proc/none: ")
    assert box.mbox.read_bytes() == b"old\n" and box.left() == ["1", "2:2,S"]


@pytest.mark.parametrize("start, sender", [
    (b"Return-Path: <>\n", b"MAILER-DAEMON"), (b"Return-Path: <a b@c>\nx", b"a-b@c"), (b"Return-Path: <a@b>", b"XXX"),
    (b"return-path: <a@b>\n", b"XXX"), (b"", b"XXX"), (b"Return-Path: <\n", b"")])
def test_sender(start, sender):
    assert maildir2mbox.sender(start) == sender


@pytest.mark.parametrize("program, reader", [("elq", "elm"), ("pinq", "pine"), ("qail", "Mail")])
def test_readers(box, program, reader):
    box.put("new/1", b"one\n")
    code, _, said = box.run(program, PATH=f"{box.path}/bin")
    assert code == 127 and said == f"{program}: fatal: unable to run {reader}: file does not exist\n".encode()
    (box.path / "bin").mkdir()
    (box.path / "bin" / reader).write_text('#!/bin/sh\necho "$0" "$@" "$(/bin/cat)"\nkill -9 $$\n')
    assert box.run(program, PATH=f"{box.path}/bin")[0] == 126
    (box.path / "bin" / reader).chmod(0o755)
    assert box.run(program, "a b", "") == (-9, f"{box.path}/bin/{reader} a b  \n".encode(), b"")


def shown(message):
    reader, writer = os.pipe()
    os.write(writer, message)
    os.close(writer)
    try:
        return maildirwatch.block(reader)
    finally:
        os.close(reader)


@pytest.mark.parametrize("message, block", [
    (b"", b"FROM ? TO <?>\n\n\n"),
    (b"Return-Path:\nDelivered-To:  \n\n", b"FROM ? TO <?>\n/\n\n"),
    (b"FROM: a\nFrom: b\nSUBJECT: s\nSubject:\n t\n", b"FROM ? TO <?>\n\033[1mFrom: b\033[0m\ns/t/\n\n"),
    (b"Subject: s\nno field\n", b"FROM ? TO <?>\ns//no field/\n\n"),
    (b"Return-Path : <a\x1b[2J>\n\n\x07", b"FROM <a?[2J> TO <?>\n///\n\n"),
    (b"Subject: " + b"x" * 500 + b"\n\nbody", b"FROM ? TO <?>\n" + b"x" * 158 + b"\n\n"),
])
def test_block(message, block):
    assert shown(message) == block


def test_a_huge_header_is_no_reason_to_stop(monkeypatch):
    monkeypatch.setattr(maildirwatch, "HEADER", 100)
    assert shown(b"Subject: s\nY: y\nX: " + b"x" * 200 + b"\n\nbody\n") == b"FROM ? TO <?>\ns/\n\n"


MEANINGS = {b"g": b"s@x", b"h": b"host", b"u": b"joe", b"%": b"%"}


@pytest.mark.parametrize("word, expanded", [
    (b"", b""), (b"a", b"a"), (b"%u@%h", b"joe@host"), (b"%%u", b"%u"), (b"%%%u", b"%joe"), (b"%%%%", b"%%"),
    (b"%", b""), (b"a%", b"a"), (b"%x", b""), (b"%xu", b"u"), (b"%%%", b"%"), (b"%u%", b"joe"), (b"%U", b""),
    (b"100%%", b"100%"), (b"a%%b%gc", b"a%bs@xc")])
def test_expand(word, expanded):
    assert qsmhook.expand(word, MEANINGS) == expanded


ENVIRON = {"UFLINE": "F\n", "RPLINE": "R\n", "DTLINE": "D\n", "LOCAL": "a-b-Joe", "HOST": "h", "SENDER": ""}


def hook(*argv, stdin=b"m\n", environ=ENVIRON):
    done = subprocess.run([f"{ROOT}/bin/qsmhook", *argv], input=stdin, env={"PATH": "/usr/bin:/bin", **environ},
                          capture_output=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("argv, result", [
    (["-x", "A-", "-x", "B-", "-x", "c", "echo", "%u", "%g"], (0, b"Joe \n", b"")),
    (["-xa-", "-Pn", "--", "cat"], (0, b"R\nm\n", b"")),
    (["-x"], (100, b"", b"qsmhook: option requires an argument -- x\n")),
    (["cat", "-n"], (0, b"     1\tF\n     2\tm\n", b"")),
    (["-n", "sh", "-c", "exec cat -; exit 1"], (0, b"m\n", b"")),
    (["/"], (100, b"", b"qsmhook: fatal: command not found\n")),
    (["%x"], (100, b"", b"qsmhook: fatal: command not found\n")),
])
def test_qsmhook(argv, result):
    assert hook(*argv) == result


def test_qsmhook_does_not_care_who_reads():
    assert hook("true", stdin=b"x" * 1_000_000) == (0, b"", b"")
    assert hook("sh", "-c", "wc -c", stdin=b"x" * 1_000_000)[1].strip() == b"1000002"
