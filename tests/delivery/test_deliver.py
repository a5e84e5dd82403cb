"""Deliveries as a whole, several in one process."""
import errno
import os
import signal
import stat

import pytest

from pyqmail.base import maildir
from pyqmail.delivery import deliver as deliver_module
from pyqmail.delivery.deliver import Order, deliver

TEXT = b"Subject: t\n\nbody\n"
ADDED = b"Return-Path: <sue@a.example>\nDelivered-To: joe@h.example\n"


class Place:
    """A home and a message; run() gives (exit code, what was said)."""

    def __init__(self, home):
        self.home, self.environ = home, {b"PATH": b"/usr/bin:/bin"}
        home.chmod(0o700)
        self.message = os.open(home / "message", os.O_RDWR | os.O_CREAT, 0o600)
        self.text(TEXT)

    def text(self, data):
        os.ftruncate(self.message, 0)
        os.pwrite(self.message, data, 0)

    def dotqmail(self, text, name=".qmail", mode=0o600):
        (self.home / name).write_bytes(text)
        (self.home / name).chmod(mode)

    def run(self, local=b"joe", dash=b"", ext=b"", sender=b"sue@a.example", default=b"./Mailbox", **more):
        reader, writer = os.pipe()
        try:
            code = deliver(Order(b"joe", os.fsencode(self.home), local, dash, ext, b"h.example", sender, default,
                                 **{"message": self.message, "output": writer, "environ": self.environ, **more}))
            os.close(writer)
            writer = -1
            said = b""
            while piece := os.read(reader, 65536):
                said += piece
            return code, said
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)

    def new(self, name="Maildir"):
        found = self.home / name / "new"
        return [(found / entry).read_bytes() for entry in sorted(os.listdir(found))]


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    os.close(place.message)


@pytest.fixture
def fake_queue(tmp_path, place):
    """A program in the place of qmail-queue; call it with its exit code and the text for descriptor 6."""
    def install(code=0, text="", read=True):
        program = tmp_path / "queue"
        reading = f"cat >{tmp_path}/queued\ncat <&1 >{tmp_path}/envelope\n" if read else ""
        program.write_text(f"#!/bin/sh\n{reading}printf '{text}' >&6\nexit {code}\n")
        program.chmod(0o700)
        place.environ[b"QMAILQUEUE"] = os.fsencode(program)
    return install


def test_maildir(place):
    maildir.make(os.fsencode(place.home / "Maildir"))
    for count in range(1, 4):
        assert place.run(default=b"./Maildir/") == (0, b"did 1+0+0\n")
        assert place.new() == [ADDED + TEXT] * count


def test_mbox(place):
    assert place.run() == (0, b"did 1+0+0\n")
    box = place.home / "Mailbox"
    first, rest = box.read_bytes().split(b"\n", 1)
    assert first.startswith(b"From sue@a.example ") and rest == ADDED + TEXT + b"\n"
    assert stat.S_IMODE(box.stat().st_mode) == 0o600


def test_a_message_in_many_pieces(place):
    maildir.make(os.fsencode(place.home / "Maildir"))
    for size in (65535, 65536, 65537, 65536 + (1 << 18), 1 << 20):
        text = b"From: x\n\n" + b"0123456789abcde\n" * (size // 16 + 1)
        text = text[:size - 1] + b"\n"
        place.text(text)
        (place.home / "Mailbox").unlink(missing_ok=True)
        assert place.run(default=b"./Mailbox\n./Maildir/") == (0, b"did 2+0+0\n")
        assert (place.home / "Mailbox").read_bytes().partition(b"\n")[2] == ADDED + text + b"\n"
        assert place.new()[-1] == ADDED + text


def test_forward(place, fake_queue):
    fake_queue()
    place.dotqmail(b"&a@b\n./Mailbox\nc d\n&e\0f\n")
    code, said = place.run()
    assert code == 0 and said.startswith(b"did 1+3+0\nqp ") and said.endswith(b"\n")
    assert (place.home / "queued").read_bytes() == b"Delivered-To: joe@h.example\n" + TEXT
    assert (place.home / "envelope").read_bytes() == b"Fsue@a.example\0Ta@b\0Tc d\0Te\0\0"


@pytest.mark.parametrize("code, text, status, said", [
    (31, "", 100, b"mail server permanently rejected message (#5.3.0)"),
    (53, "", 111, b"qq write error or disk full (#4.3.0)"),
    (82, "Dno (#5.7.1)", 100, b"no (#5.7.1)"),
    (82, "Zlater (#4.7.1)", 111, b"later (#4.7.1)"),
    (82, "", 111, b"qq temporary problem (#4.3.0)"),
    (1, "", 111, b"qq temporary problem (#4.3.0)"),
])
def test_queue_refuses(place, fake_queue, code, text, status, said):
    fake_queue(code, text)
    place.dotqmail(b"&a@b\n")
    assert place.run() == (status, b"Unable to forward message: %b.\n" % said)


def test_a_queue_that_did_not_read_everything(place, fake_queue):
    fake_queue(read=False)
    place.text(TEXT + b"x" * 300_000)
    place.dotqmail(b"&a@b\n")
    assert place.run() == (111, b"Unable to forward message: qq read error (#4.3.0).\n")


@pytest.mark.parametrize("code, status, said", [
    *((code, 100, b"") for code in (100, 64, 65, 70, 76, 77, 78, 112)),
    *((code, 111, b"") for code in (1, 2, 63, 66, 71, 75, 98, 101, 111, 113, 126, 127, 255)),
    (0, 0, b"did 2+0+1\n"), (99, 0, b"did 1+0+1\n"),
])
def test_exit_codes_of_commands(place, code, status, said):
    place.dotqmail(b"./before\n|exit %d\n./after\n" % code)
    assert place.run() == (status, said)
    assert (place.home / "before").exists() and (place.home / "after").exists() is (code == 0)


def test_a_command_that_crashes(place):
    place.dotqmail(b"|kill -9 $$\n")
    assert place.run() == (111, b"Aack, child crashed. (#4.3.0)\n")


def test_a_command_that_cannot_begin(place):
    place.dotqmail(b"|: " + b"x" * 200_000 + b"\n")
    assert place.run() == (111, b"Unable to run /bin/sh: argument list too long. (#4.3.0)\n")


def test_commands_read_from_the_start_in_the_home(place):
    place.dotqmail(b"|read x; echo $x; umask\n|cat; pwd\n|echo error >&2\n")
    home = os.fsencode(os.path.realpath(place.home))
    assert place.run() == (0, b"Subject: t\n0077\n" + TEXT + home + b"\nerror\ndid 0+0+3\n")


def test_99_keeps_earlier_forwards(place, fake_queue):
    fake_queue()
    place.dotqmail(b"&a\n|exit 99\n&b\n")
    code, said = place.run()
    assert code == 0 and said.startswith(b"did 0+1+1\nqp ")
    assert (place.home / "envelope").read_bytes() == b"Fsue@a.example\0Ta\0\0"


def test_no_forward_after_a_failure(place, fake_queue):
    fake_queue()
    place.dotqmail(b"&a\n|exit 1\n")
    assert place.run() == (111, b"")
    assert not (place.home / "queued").exists()


def test_dry(place, fake_queue):
    fake_queue()
    place.dotqmail(b"./a\0b\n./d/\n|false\n&x@y\n+list\n&z\n")
    assert place.run(dry=True, message=-1) == (
        0, b"mbox ./a\0b\nmaildir ./d/\nprogram false\nforward x@y\nforward z\ndid 2+2+1\n")
    assert sorted(os.listdir(place.home)) == [".qmail", "message", "queue"]


@pytest.mark.parametrize("setup, status, said", [
    (lambda p: p.text(b"Delivered-To: joe@h.example\n\n"), 100,
     b"This message is looping: it already has my Delivered-To line. (#5.4.6)\n"),
    (lambda p: p.home.chmod(0o1700), 111, b"Home directory is sticky: user is editing his .qmail file. (#4.2.1)\n"),
    (lambda p: p.home.chmod(0o702), 111, b"Uh-oh: home directory is writable. (#4.7.0)\n"),
    (lambda p: p.dotqmail(b"./Maildir/\n"), 111, b"Unable to chdir to maildir. (#4.2.1)\n"),
    (lambda p: (p.dotqmail(b"./Maildir/\n"), (p.home / "Maildir").mkdir()), 111,
     b"Temporary error on maildir delivery. (#4.3.0)\n"),
    (lambda p: p.dotqmail(b"./no/box\n"), 111, b"Unable to open ./no/box: file does not exist. (#4.2.1)\n"),
    (lambda p: p.dotqmail(b"/dev/full\n"), 111, b"Unable to write /dev/full: out of disk space. (#4.3.0)\n"),
])
def test_troubles(place, setup, status, said):
    setup(place)
    assert place.run() == (status, said)


def test_no_mailbox(place):
    assert place.run(b"joe-x", b"-", b"x") == (100, b"Sorry, no mailbox here by that name. (#5.1.1)\n")


def test_messages_that_cannot_be_read(place):
    reader, writer = os.pipe()
    directory, unreadable = os.open(place.home, os.O_RDONLY), os.open(place.home / "message", os.O_WRONLY)
    try:
        assert place.run(message=reader) == (111, b"Unable to rewind message. (#4.3.0)\n")
        assert place.run(message=directory) == (111, b"Unable to read message: is a directory. (#4.3.0)\n")
        assert place.run(message=unreadable) == (111, b"Unable to read message: file descriptor not open. (#4.3.0)\n")
    finally:
        for fd in (reader, writer, directory, unreadable):
            os.close(fd)


@pytest.mark.parametrize("line, said", [
    (b"./Maildir/\n", b"Unable to read message. (#4.3.0)\n"),
    (b"./Mailbox\n", b"Unable to read message: input/output error. (#4.3.0)\n"),
    (b"&a@b\n", b"Unable to forward message: qq read error (#4.3.0).\n"),
])
def test_a_message_that_breaks_off(place, fake_queue, monkeypatch, line, said):
    """The header can be read, what follows cannot."""
    fake_queue()
    maildir.make(os.fsencode(place.home / "Maildir"))
    place.text(b"a: b\n\n" + b"x" * 100_000)
    place.dotqmail(line)
    pread = os.pread

    def failing(fd, size, at):
        if at:
            raise OSError(errno.EIO, "")
        return pread(fd, size, at)
    monkeypatch.setattr(os, "pread", failing)
    assert place.run() == (111, said)
    assert place.new() == [] and os.listdir(place.home / "Maildir/tmp") == []
    assert not (place.home / "Mailbox").exists() or (place.home / "Mailbox").read_bytes() == b""


@pytest.mark.parametrize("why, said", [
    (MemoryError(), b"Out of memory. (#4.3.0)\n"),
    (OSError(errno.EMFILE, ""), b"Unable to deliver: process cannot open more files"),
    (ValueError("a bug"), b"Unable to deliver: ValueError: a bug"),
])
def test_what_nobody_foresaw_defers(place, monkeypatch, why, said):
    def fail(*_):
        raise why
    monkeypatch.setattr(deliver_module.dotqmail, "find", fail)
    code, text = place.run()
    assert code == 111 and text.startswith(said) and text.count(b"\n") == 1


def test_a_day_on_a_maildir(place, monkeypatch):
    maildir.make(os.fsencode(place.home / "Maildir"))

    def slow(fd):
        assert 86_000 < signal.alarm(0) <= 86_400
        os.kill(os.getpid(), signal.SIGALRM)
    assert place.run(default=b"./Maildir/", flush=slow) == (111, b"Timeout on maildir delivery. (#4.3.0)\n")
    assert place.new() == [] and os.listdir(place.home / "Maildir/tmp") == []


def state():
    umask = os.umask(0)
    os.umask(umask)
    return (umask, os.getcwd(), signal.getsignal(signal.SIGALRM), signal.alarm(0), dict(os.environb),
            sorted(os.listdir("/proc/self/fd")))


def test_nothing_remains_of_a_delivery(place, fake_queue):
    """Every kind of end, one after the other, in one process."""
    fake_queue()
    maildir.make(os.fsencode(place.home / "Maildir"))
    os.chdir("/")
    before = state()
    for text in (b"./Maildir/\n", b"./Mailbox\n", b"|echo $EXT\n", b"&a@b\n", b"|exit 100\n", b"|kill $$\n", b"./no/\n",
                 b"./no/no\n", b"/dev/full\n", b"\n", b"+list\n./a\n"):
        place.dotqmail(text)
        place.run()
        assert state() == before
    place.run(b"joe-x", b"-", b"x")
    place.home.chmod(0o702)
    place.run()
    assert state() == before
    place.home.chmod(0o700)
    place.dotqmail(b'|echo "$LOCAL:$EXT:$SENDER:${DEFAULT-unset}"\n', ".qmail-default")
    assert place.run(b"joe-a", b"-", b"a", b"one@a") == (0, b"joe-a:a:one@a:a\ndid 0+0+1\n")
    place.dotqmail(b'|echo "$LOCAL:$EXT:$SENDER:${DEFAULT-unset}"\n')
    assert place.run(sender=b"") == (0, b"joe:::unset\ndid 0+0+1\n")
