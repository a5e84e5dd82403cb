"""The text of a failure, and the bounce around it."""
import os
from types import SimpleNamespace

import pytest

from pyqmail.send.bounce import Bounce, paragraph

CONTROLS = SimpleNamespace(bouncefrom=b"MAILER-DAEMON", bouncehost=b"me.example",
                           doublebounceto=b"postmaster@me.example")


@pytest.mark.parametrize("recipient, report, text", [
    (b"r@x", b"no\n", b"<r@x>:\nno\n\n"),
    (b"r@x", b"no", b"<r@x>:\nno\n\n"),
    (b"r@x", b"", b"<r@x>:\n\n"),
    (b"r@x", b"\n", b"<r@x>:\n\n\n"),
    (b"r@x", b"\n\n", b"<r@x>:\n/\n\n"),
    (b"r@x", b"\nno\n", b"<r@x>:\n/no\n\n"),
    (b"r@x", b"a\n\n\nb", b"<r@x>:\na\n//b\n\n"),
    (b"r@x", b"a\n\n", b"<r@x>:\na\n\n\n"),
    (b"a\nb@x", b"no\n", b"<a_b@x>:\nno\n\n"),
    (b"r@x", b"\xff\t%\n", b"<r@x>:\n\xff\t%\n\n"),
])
def test_paragraph(recipient, report, text):
    assert paragraph(recipient, report) == text


def test_single_bounce():
    bounce = Bounce(1001, b"s@a.example", CONTROLS)
    assert (bounce.sender, bounce.recipient) == (b"", b"s@a.example")
    assert bounce.head(0) == (
        b"Date: 1 Jan 1970 00:00:00 -0000\nFrom: MAILER-DAEMON@me.example\nTo: s@a.example\nSubject: failure notice\n\n"
        b"Hi. This is the qmail-send program at me.example.\n"
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        b"This is a permanent error; I've given up. Sorry it didn't work out.\n\n")
    assert bounce.separator() == b"--- Below this line is a copy of the message.\n\nReturn-Path: <s@a.example>\n"


def test_double_bounce():
    bounce = Bounce(1001, b"", CONTROLS)
    assert (bounce.sender, bounce.recipient) == (b"#@[]", b"postmaster@me.example")
    assert b"\nI tried to deliver a bounce message to this address, but the bounce bounced!\n\n" in bounce.head(0)
    assert bounce.separator() == b"--- Below this line is the original bounce.\n\nReturn-Path: <>\n"


@pytest.mark.parametrize("sender, doublebounceto, kind", [
    (b"#@[]", b"postmaster@x", "triple"), (b"#@[]", None, "triple"), (b"", None, "unwanted"),
    (b"-@[]", b"p@x", "double"), (b"list-@h-@[]", None, "single")])
def test_kinds(sender, doublebounceto, kind):
    controls = SimpleNamespace(bouncefrom=b"m", bouncehost=b"h", doublebounceto=doublebounceto)
    assert Bounce(1, sender, controls).kind == kind


def test_quoting_in_headers_only():
    controls = SimpleNamespace(bouncefrom=b" robot@1", bouncehost=b"h@2", doublebounceto=b"p@x")
    bounce = Bounce(1, b'a "b@c', controls)
    assert bounce.recipient == b'a "b@c'
    assert b'\nFrom: " robot@1"@h@2\nTo: "a \\"b"@c\n' in bounce.head(0)


def test_verp_sender_is_bounced_to_plain_address():
    assert Bounce(1, b"list-@h.example-@[]", CONTROLS).recipient == b"list-@h.example"


class FakeSubmission:
    """Takes what a Submission takes."""

    def __init__(self):
        self.message, self.failed, self.envelope, self.qp = b"", False, None, 77

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def put(self, data):
        self.message += data

    def fail(self):
        self.failed = True

    def finish(self, sender, recipients):
        self.envelope = sender, recipients
        return b"Zfailed" if self.failed else b""


@pytest.fixture
def queue(tmp_path):
    (tmp_path / "bounce").mkdir()
    (tmp_path / "mess/12").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_PATH)
    yield tmp_path, fd
    os.close(fd)


def test_inject(queue):
    path, fd = queue
    (path / "bounce/1001").write_bytes(b"<r@x>:\nno\n\n")
    (path / "mess/12/1001").write_bytes(b"Received: x\n\nbody\xff")
    submission = FakeSubmission()
    assert Bounce(1001, b"s@a", CONTROLS).inject(submission, 0, fd) == (b"", 77)
    assert submission.envelope == (b"", [b"s@a"])
    assert submission.message.endswith(b"work out.\n\n<r@x>:\nno\n\n--- Below this line is a copy of the message.\n\n"
                                       b"Return-Path: <s@a>\nReceived: x\n\nbody\xff")


@pytest.mark.parametrize("missing", ["bounce/1001", "mess/12/1001"])
def test_what_cannot_be_read_is_never_sent(queue, missing):
    path, fd = queue
    for name in {"bounce/1001", "mess/12/1001"} - {missing}:
        (path / name).write_bytes(b"x\n")
    submission = FakeSubmission()
    answer, _ = Bounce(1001, b"s@a", CONTROLS).inject(submission, 0, fd)
    assert submission.failed and answer
