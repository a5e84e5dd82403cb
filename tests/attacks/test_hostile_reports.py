"""What a mail server or a command said is written to the log, to bounce/N and into bounces (OpenSMTPD CVE-2020-8794).

It arrives over the report pipe of a spawner. It is data: one line of the log, one paragraph of the bounce,
and never a byte of an envelope.
"""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyqmail.send import bounce, messages
from pyqmail.spawn import wire

REPLIES = [b"no\n\nTo: victim@x.example\n\n",
           b"\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <x@y>\n\n",
           b"F\0Tvictim@x\0\0", b"\r\n.\r\nMAIL FROM:<x>\r\n", b"\x1b[2J%s%n%(x)s", b"\xff\xfe\x80", b"\n" * 500,
           b"<r@b>:\nfine\n\n",
           b"starting delivery 1: msg 1 to local x\nnew msg 2\n"]


def one_report(data):
    """The reports that qmail-send takes from this on the pipe, which says delivery 5."""
    return wire.ReportReader().feed(wire.report(5, data))


@pytest.mark.parametrize("said", REPLIES)
def test_one_report_one_line_one_paragraph(said):
    (number, text), = one_report(b"D" + said)
    assert number == 5
    for line in (messages.outcome(7, b"failure", text[1:]), messages.outcome(7, b"deferral", text[1:])):
        assert line.startswith(b"delivery 7: ") and not set(line) - set(range(32, 127)) and b"%" not in line
    assert_one_paragraph(bounce.paragraph(b"r@b", text[1:]))


def assert_one_paragraph(found):
    assert found.startswith(b"<r@b>:\n") and found.endswith(b"\n\n")
    assert b"\n\n" not in found.rstrip(b"\n"), "what follows an empty line could pose as the next paragraph"


@settings(max_examples=200)
@given(st.binary(max_size=300), st.binary(min_size=1, max_size=40))
def test_anything_said(said, recipient):
    (_, text), = one_report(said) or [(5, b"")]
    assert b"\0" not in text
    assert b"\n" not in messages.outcome(7, b"failure", text)
    assert b"\n" not in messages.starting(1, 2, b"remote", recipient)
    found = bounce.paragraph(recipient, text)
    assert found.startswith(b"<%b>:\n" % recipient.replace(b"\n", b"_")) and found.endswith(b"\n\n")
    assert b"\n\n" not in found.rstrip(b"\n")


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=50)))
def test_garbage_on_the_pipe_is_bounded_records(pieces):
    reader = wire.ReportReader()
    for piece in pieces:
        for report in reader.feed(piece):
            assert 0 <= report.delnum <= 255 and len(report.text) <= wire.REPORT_MAX and b"\0" not in report.text


def test_an_endless_report_is_not_kept():
    reader = wire.ReportReader()
    for _ in range(1000):
        assert reader.feed(b"\1D" + b"x" * 65_534) == []
    (report,) = reader.feed(b"\0")
    assert len(report.text) == wire.REPORT_MAX


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_bounce_goes_to_one_address_whatever_was_said(end):
    """The recipient of a bounce is the envelope's, and only there: the text cannot add one."""
    class Controls:
        bouncefrom, bouncehost, doublebounceto = b"MAILER-DAEMON", b"me.example", b"postmaster@me.example"
    one = bounce.Bounce(1, b"s@a" + end + b"Bcc: victim@x", Controls)
    assert one.recipient == b"s@a" + end + b"Bcc: victim@x" and one.sender == b""
    header = one.head(0).partition(b"\n\n")[0]
    assert header.count(b"\n") == 3 and b"\r" not in header
    assert end + b"Bcc:" not in one.separator()
