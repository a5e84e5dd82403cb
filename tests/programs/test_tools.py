"""The tools of .qmail files and the small senders, as processes."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINES = {"UFLINE": "From x\n", "RPLINE": "Return-Path: <x>\n", "DTLINE": "Delivered-To: y\n",
         "SENDER": "s@x", "NEWSENDER": "n@x"}
NAMES = {"QMAILDEFAULTHOST": "dh.example", "QMAILDEFAULTDOMAIN": "dd.example", "QMAILPLUSDOMAIN": "pd.example",
         "QMAILIDHOST": "id.example", "USER": "joe"}
BIG = b"0123456789abcdef\n" * 20000


@pytest.fixture
def run(tmp_path):
    queue = tmp_path / "queue"
    queue.write_text("#!/bin/sh\nexec 3<&1\ncat > $OUT/message\ncat <&3 > $OUT/envelope\nexit ${CODE-0}\n")
    queue.chmod(0o755)

    def run(program, *argv, stdin=b"", without=(), **environ):
        environ = {"PATH": "/usr/bin:/bin", "QMAILQUEUE": str(queue), "OUT": str(tmp_path), **LINES, **NAMES, **environ}
        for name in without:
            del environ[name]
        words = [os.path.join(ROOT, "bin", program), *argv]
        if isinstance(stdin, bytes):
            return subprocess.run(words, input=stdin, env=environ, capture_output=True)
        return subprocess.run(words, stdin=stdin, env=environ, capture_output=True)

    run.queued = lambda: tuple((tmp_path / name).read_bytes() for name in ("envelope", "message"))
    run.nothing_queued = lambda: not (tmp_path / "envelope").exists()
    run.path = tmp_path
    return run


def test_forward(run):
    done = run("forward", "a", "b c@d", stdin=b"Subject: x\n\nno newline")
    assert done.returncode == 0 and done.stderr.startswith(b"forward: qp ")
    assert run.queued() == (b"Fn@x\0Ta\0Tb c@d\0\0", b"Delivered-To: y\nSubject: x\n\nno newline")


@pytest.mark.parametrize("options, status, complaint", [
    ({"without": ["NEWSENDER"]}, 100, b"forward: fatal: NEWSENDER not set\n"),
    ({"without": ["DTLINE"]}, 100, b"forward: fatal: DTLINE not set\n"),
    ({"CODE": "31"}, 100, b"forward: fatal: mail server permanently rejected message (#5.3.0)\n"),
    ({"CODE": "53"}, 111, b"forward: fatal: qq write error or disk full (#4.3.0)\n"),
])
def test_forward_complains(run, options, status, complaint):
    done = run("forward", "a", **options)
    assert (done.returncode, done.stderr) == (status, complaint)


@pytest.mark.parametrize("command, condredirect, bouncesaying, except_", [
    (["true"], 99, 100, 100),
    (["false"], 0, 0, 0),
    (["sh", "-c", "exit 100"], 0, 0, 0),
    (["sh", "-c", "exit 111"], 111, 111, 111),
    (["sh", "-c", "kill -9 $$"], 111, 111, 111),
    (["/nonexistent"], 0, 0, 0),
    ([""], 0, 0, 0),
    (["/"], 0, 0, 0),
])
def test_verdicts(run, command, condredirect, bouncesaying, except_):
    message = run.path / "mail"
    message.write_bytes(b"Subject: x\n")
    with open(message, "rb") as f:
        assert run("condredirect", "new@y", *command, stdin=f).returncode == condredirect
        assert run.nothing_queued() == (condredirect != 99)
        assert run("bouncesaying", "no (#5.7.1)", *command, stdin=f).returncode == bouncesaying
        assert run("except", *command, stdin=f).returncode == except_


def test_condredirect_reads_the_message_from_its_start(run):
    message = run.path / "mail"
    message.write_bytes(b"Subject: x\n\nbody\n")
    with open(message, "rb") as f:
        f.seek(5)
        assert run("condredirect", "new@y", "cat", stdin=f).stdout == b"Subject: x\n\nbody\n"[5:]
    assert run.queued() == (b"Fs@x\0Tnew@y\0\0", b"Delivered-To: y\nSubject: x\n\nbody\n")


def test_bouncesaying_without_a_program_always_bounces(run):
    done = run("bouncesaying", "go away")
    assert (done.returncode, done.stderr) == (100, b"go away\n")


@pytest.mark.parametrize("argv, output", [
    (["cat"], b"From x\nReturn-Path: <x>\nDelivered-To: y\n"),
    (["-fd", "cat"], b"Return-Path: <x>\n"),
    (["-frd", "-R", "cat"], b"Return-Path: <x>\n"),
    (["-r", "--", "cat"], b"From x\nDelivered-To: y\n"),
])
@pytest.mark.parametrize("stdin", [b"", b"a\0\xffb", BIG])
def test_preline(run, argv, output, stdin):
    done = run("preline", *argv, stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (0, output + stdin, b"")


USAGE = b"preline: usage: preline cmd [ arg ... ]\n"


@pytest.mark.parametrize("argv, stdin, status, complaint", [
    ([], b"", 100, USAGE),
    (["-x", "cat"], b"", 100, b"preline: illegal option -- x\n" + USAGE),
    (["./none"], b"x", 100, b"preline: fatal: unable to run ./none: file does not exist\n"),
    ([""], b"x", 100, b"preline: fatal: unable to run : file does not exist\n"),
    (["sh", "-c", "exit 3"], b"x", 3, b""),
    (["sh", "-c", "cat >/dev/null; kill -9 $$"], BIG, 111, b"preline: fatal: child crashed\n"),
    (["true"], BIG, 111, b"preline: fatal: unable to copy input: broken pipe\n"),
])
def test_preline_ends(run, argv, stdin, status, complaint):
    done = run("preline", *argv, stdin=stdin)
    assert (done.returncode, done.stderr) == (status, complaint)


def test_input_that_cannot_be_read_is_not_taken_for_a_short_message(run):
    """Neither may finish its work on what came before the error."""
    for program in ("preline", "predate"):
        fd = os.open("/", os.O_RDONLY)
        done = run(program, "sh", "-c", "cat > $OUT/got; echo done > $OUT/finished", stdin=fd)
        os.close(fd)
        assert done.returncode == 111
        assert done.stderr == program.encode() + b": fatal: unable to copy input: is a directory\n"
        assert not (run.path / "finished").exists()


@pytest.mark.parametrize("zone, written", [("UTC0", b" +0000\n"), ("IST-5:30", b" +0530\n"), ("EST5", b" -0500\n"),
                                           ("XXX-0:00:31", b" +0001\n"), ("XXX0:00:29", b" -0000\n")])
def test_predate(run, zone, written):
    done = run("predate", "cat", stdin=b"To: a\n", TZ=zone)
    date, rest = done.stdout.split(b"\n", 1)
    assert date.startswith(b"Date: ") and (date + b"\n").endswith(written) and rest == b"To: a\n"


def test_datemail(run):
    assert run("datemail", "-t", "-fx@y", stdin=b"To: a\nMessage-ID: m\n\nhi\n", TZ="EST5").returncode == 0
    envelope, message = run.queued()
    assert envelope == b"Fx@y.dd.example\0Ta@dh.example\0\0"
    fields = message.split(b"\n")
    assert fields[0] == b"From: x@y.dd.example" and fields[1].endswith(b" -0500")
    assert fields[2:] == [b"To: a@dh.example", b"Message-ID: m", b"", b"hi", b""]


def test_datemail_leaves_bad_options_to_sendmail(run):
    done = run("datemail", "-q")
    assert done.returncode == 100 and done.stderr.startswith(b"sendmail: illegal option -- q\nsendmail: usage: ")


def test_mailsubj(run):
    assert run("mailsubj", "the subject", "a,", "Some One <b@c.d>", stdin=b"Bcc: z\n").returncode == 0
    envelope, message = run.queued()
    assert envelope == b"Fjoe@dh.example\0Tb@c.d\0Ta@dh.example\0\0"
    assert message.endswith(b"\nSubject: the subject\nTo: a@dh.example, Some One <b@c.d>\n\nBcc: z\n")


def test_mailsubj_needs_a_subject(run):
    assert run("mailsubj").returncode == 100 and run.nothing_queued()


@pytest.mark.parametrize("request_for, sender, sent", [
    (b"me@h", "s@x", True), (b"a, M E <me@h> (x)", "s@x", True), (b"me (x) @h", "a b@x", True),
    (b"you@h", "s@x", False), (b"me@h", "", False), (b"me@h", "#@[]", False), (b"ME@h", "s@x", False),
])
def test_qreceipt(run, request_for, sender, sent):
    done = run("qreceipt", "me@h", stdin=b"Notice-Requested-Upon-Delivery-To: %b\nMessage-ID: <i>\n\nx\n" % request_for,
               SENDER=sender)
    assert (done.returncode, done.stderr) == (0, b"")
    assert run.nothing_queued() != sent
    if sent:
        assert run.queued()[0] == b"F\0T%b\0\0" % sender.encode()
        assert run.queued()[1].endswith(b"address: me@h. Thanks for asking.\nYour Message-ID: <i>\n")


def test_qreceipt_does_not_bounce_for_a_huge_header(run):
    done = run("qreceipt", "me@h", stdin=b"Notice-Requested-Upon-Delivery-To: me@h\n" + b"X: y\n" * 300000)
    assert done.returncode == 0 and run.nothing_queued()


@pytest.mark.parametrize("field", [b"me@h (", b"a: me@h"])
def test_qreceipt_refuses_what_it_cannot_parse(run, field):
    done = run("qreceipt", "me@h", stdin=b"Notice-Requested-Upon-Delivery-To: %b\n" % field)
    assert done.returncode == 100
    assert done.stderr == b"qreceipt: fatal: unable to parse this: Notice-Requested-Upon-Delivery-To: %b\n" % field


@pytest.mark.parametrize("stdin, text", [
    (b"Subject: \t hi\n there\n\nbody\nmore\n", b"    hi\n there\n\nbody\nmore\n"),
    (b"To: a\n\nb\n", b"    \nb\n"),
    (b"Subject: " + b"s" * 100 + b"\n\nb\n", b"    " + b"s" * 74),
])
def test_qbiff_extract(stdin, text, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from pyqmail.programs import qbiff
    pieces = [stdin]
    monkeypatch.setattr(qbiff.os, "read", lambda fd, size: pieces.pop() if pieces else b"")
    assert qbiff.extract() == text


def test_qbiff_shows_nothing_a_terminal_acts_upon():
    from pyqmail.programs import qbiff
    assert qbiff.printable(bytes(range(256)), b"_") == b"_" * 32 + bytes(range(32, 127)) + b"_" * 129


def test_qbiff_terminals(tmp_path, monkeypatch):
    from pyqmail.programs import qbiff

    def record(kind, user, line):
        head = kind.to_bytes(2, sys.byteorder) + bytes(6) + line.ljust(32, b"\0") + bytes(4) + user.ljust(32, b"\0")
        return head.ljust(384, b"\0")
    (tmp_path / "utmp").write_bytes(b"".join([
        record(7, b"joe", b"tty1"), record(8, b"joe", b"tty2"), record(7, b"jo", b"tty3"), record(7, b"joe", b"/x"),
        record(7, b"joe", b"a.b"), record(7, b"joe", b""), record(7, b"joe", b"pts/1"),
        record(7, b"joe", b"tty9")[:300]]))
    monkeypatch.setattr(qbiff, "UTMP", str(tmp_path / "utmp"))
    monkeypatch.setattr(qbiff, "LONG_RECORD", ())
    assert list(qbiff.terminals(b"joe")) == [b"tty1", b"pts/1"]


HEAVY = {"asyncio", "email", "typing", "dataclasses", "collections", "logging", "argparse", "subprocess", "re",
         "socket", "signal", "_socket"}


@pytest.mark.parametrize("program", ["forward", "condredirect", "bouncesaying", "except_", "preline", "qreceipt",
                                     "qbiff", "predate", "datemail", "mailsubj", "sendmail", "qmail_inject"])
def test_start_up_imports_are_light(program):
    code = f"import sys; sys.path.insert(0, {ROOT!r}); import pyqmail.programs.{program}; print(*sys.modules)"
    loaded = subprocess.run(["/usr/bin/python3", "-IS", "-c", code], capture_output=True, text=True, check=True).stdout
    queue_client = {"_socket"} if "pyqmail.queue.client" in loaded else set()
    assert not (HEAVY - queue_client) & {name.split(".")[0] for name in loaded.split()}
