"""The dialogue with a server: wire bytes beside what is sent and reported."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyqmail.smtp import client
from pyqmail.smtp.client import MESSAGE, NOTHING, READ, ReplyReader, Session, code

HELO, MAIL, RCPT = b"HELO me.example\r\n", b"MAIL FROM:<s@a>\r\n", b"RCPT TO:<r@b>\r\n"
DATA, QUIT = b"DATA\r\n", b"QUIT\r\n"
TEXT = b"hello\r\n.\r\n"


def converse(replies, recipients=(b"r@b",), sender=b"s@a", message=b"hello\n", bytewise=False):
    """(what was sent, the report) for these replies of the server, then end of file."""
    session = Session(b"192.0.2.1", b"me.example", sender, list(recipients))
    sent, pieces = b"", [bytes((byte,)) for byte in replies] if bytewise else [replies]
    for piece in [*pieces, b""]:
        while session.wants is MESSAGE:
            sent += session.body(message) + session.body_end()
            sent += session.proceed()
        if session.wants is READ:
            sent += session.receive(piece)
    return sent, session.report


GOOD = b"220 hi\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 done\r\n"
TABLE = [
    # server                                         sent                                          report
    (GOOD, HELO + MAIL + RCPT + DATA + TEXT + QUIT,
     b"r\0K192.0.2.1 accepted message.\nRemote host said: 250 done\n\0"),
    (b"554-go\r\n554 away\r\n", QUIT,
     b"ZConnected to 192.0.2.1 but greeting failed.\nRemote host said: 554-go\n554 away\n\0"),
    (b"220-a\r\n220 b\r\n550 who\r\n", HELO + QUIT,
     b"ZConnected to 192.0.2.1 but my name was rejected.\nRemote host said: 550 who\n\0"),
    (b"220\n250\n550 no\n", HELO + MAIL + QUIT,
     b"DConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 550 no\n\0"),
    (b"220 hi\r\n250 ok\r\n450 no\r\n", HELO + MAIL + QUIT,
     b"ZConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 450 no\n\0"),
    (b"220 hi\r\n250 ok\r\n250 ok\r\n450 no\r\n", HELO + MAIL + RCPT + QUIT,
     b"s192.0.2.1 does not like recipient.\nRemote host said: 450 no\n\0DGiving up on 192.0.2.1.\n\0"),
    (b"220 hi\r\n250 ok\r\n250 ok\r\n250 ok\r\n554 no\r\n", HELO + MAIL + RCPT + DATA + QUIT,
     b"r\0D192.0.2.1 failed on DATA command.\nRemote host said: 554 no\n\0"),
    (GOOD.replace(b"250 done", b"451 later"), HELO + MAIL + RCPT + DATA + TEXT + QUIT,
     b"r\0Z192.0.2.1 failed after I sent the message.\nRemote host said: 451 later\n\0"),
    (b"220 hi\r\n25", HELO, b"ZConnected to 192.0.2.1 but connection died. (#4.4.2)\n\0"),
    (GOOD[:-10], HELO + MAIL + RCPT + DATA + TEXT,
     b"r\0ZConnected to 192.0.2.1 but connection died. Possible duplicate! (#4.4.2)\n\0"),
]


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("replies, wire, report", TABLE)
def test_dialogue(replies, wire, report, bytewise):
    assert converse(replies, bytewise=bytewise) == (wire, report)


def test_each_command_waits_for_its_reply():
    session = Session(b"192.0.2.1", b"me", b"", [b"a@b", b"c@d"])
    replies = b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"550 x\r\n", b"250 x\r\n"
    assert [session.receive(reply) for reply in replies] == [
        b"HELO me\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", DATA]


def test_a_message_that_cannot_be_read_leaves_the_server_without_an_end():
    session = Session(b"192.0.2.1", b"me", b"s@a", [b"r@b"])
    session.receive(GOOD[:-10])
    session.unreadable()
    assert (session.wants, session.report) == (NOTHING, b"r\0ZUnable to read message. (#4.3.0)\n\0")


def test_a_reply_before_the_end_of_the_message_counts_only_after_it():
    session = Session(b"192.0.2.1", b"me", b"s@a", [b"r@b"])
    session.receive(GOOD)
    session.body(b"hello\n")
    session.body_end()
    session.lost()                              # the end could not be sent
    assert session.report == b"r\0" + b"ZConnected to 192.0.2.1 but connection died. Possible duplicate! (#4.4.2)\n\0"


def test_a_partial_last_line_never_gets_its_dot():
    sent, report = converse(GOOD, message=b"one\ntwo")
    assert sent.endswith(b"DATA\r\none\r\ntwo")
    assert report == b"r\0DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n\0"


def test_envelope_addresses_are_quoted_where_needed():
    sent, _ = converse(GOOD, sender=b"postmaster", recipients=[b'a b"@far'])
    assert b"MAIL FROM:<postmaster>\r\n" in sent and b'RCPT TO:<"a b\\""@far>\r\n' in sent


@pytest.mark.parametrize("head, number", [(b"220", 220), (b"000", 0), (b"999", 999), (b"abc", 5451), (b"2 0", 40)])
def test_codes_are_computed_as_qmail_does(head, number):
    assert code(head) == number


@pytest.mark.parametrize("head", [b"\r\n2", b"  5", b"\0\0\0", b"-50"])
def test_bytes_below_the_digits_make_huge_codes(head):
    assert code(head) >= 500


def read(*pieces):
    reader, replies = ReplyReader(), []
    for piece in pieces:
        reader.feed(piece)
        while reply := reader.next_reply():
            replies.append(reply)
    return replies


PIECES = st.sampled_from([b"250 ok\r\n", b"250-", b"x\n", b"\r", b"\0", b"\n"])


@given(st.lists(PIECES | st.binary(max_size=5), max_size=30))
def test_replies_do_not_depend_on_where_reads_are_cut(pieces):
    data = b"".join(pieces)
    replies = read(data)
    assert replies == read(*pieces) == read(*(data[at:at + 1] for at in range(len(data))))
    for number, text in replies:
        assert 0 <= number < 1 << 64 and len(text) <= client.REPLY_KEPT
        assert b"\r" not in text and b"\0" not in text
