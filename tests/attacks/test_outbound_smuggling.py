"""SMTP smuggling (2023) from our side: what we send has one end, whoever reads it, however leniently.

Checklist 9 and 10. A message in the queue may hold any bytes; so may the addresses of a local user's mail.
"""
import itertools

import pytest

from pyqmail.smtp.client import NOTHING, Peer, Session
from pyqmail.smtp.data_writer import END, DataWriter

LINE_ENDS = [b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r", b"\0\n", b"\r\0\n"]
SECOND_MESSAGE = b"MAIL FROM:<forged@bank.example>\r\n"


def lenient_ends(wire):
    """Where the most careless of servers would see the end of DATA."""
    ends = [wire.find(before + b"." + after) for before, after in itertools.product((b"\r\n", b"\n", b"\r"), repeat=2)]
    return {at for at in ends if at >= 0}


@pytest.mark.parametrize("before", LINE_ENDS)
@pytest.mark.parametrize("after", LINE_ENDS)
@pytest.mark.parametrize("dots", [b".", b".."])
def test_no_line_end_followed_by_a_dot_ends_data_early(before, after, dots):
    message = b"Subject: x\n\nhello" + before + dots + after + SECOND_MESSAGE
    writer = DataWriter()
    wire = b"\r\n" + b"".join(writer.feed(message[at:at + 1]) for at in range(len(message))) + writer.finish()
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")
    assert lenient_ends(wire) and min(lenient_ends(wire)) >= len(wire) - len(b"\r\n" + END)


INJECTIONS = [b'x"\r\nRCPT TO:<victim@b>\r\n"@b', b"x\nDATA\n@b", b"x@b>\r\nRSET", b"x\r@b", b"x@b\n"]
READY = b"220 hi\r\n250 ok\r\n"


@pytest.mark.parametrize("sender", INJECTIONS)
def test_a_sender_cannot_add_commands(sender):
    session = Session(Peer(b"192.0.2.1", b"me"), sender, [b"r@b"])
    assert session.receive(READY) == b"HELO me\r\nQUIT\r\n"
    assert session.wants is NOTHING and session.report.startswith(b"D")


@pytest.mark.parametrize("recipient", INJECTIONS)
def test_a_recipient_cannot_add_commands(recipient):
    session = Session(Peer(b"192.0.2.1", b"me"), b"s@a", [recipient, b"good@b"])
    assert session.receive(READY + b"250 ok\r\n") == b"HELO me\r\nMAIL FROM:<s@a>\r\nRCPT TO:<good@b>\r\n"
    assert session.receive(b"250 ok\r\n") == b"DATA\r\n"
    assert [record[:1] for record in session.report.split(b"\0")] == [b"h", b"r", b""]
