"""The dialogue with a server: wire bytes beside what is sent and reported."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyqmail.smtp import client
from pyqmail.smtp.client import MESSAGE, NOTHING, READ, Peer, ReplyReader, Session, code

HELO, MAIL, RCPT = b"HELO me.example\r\n", b"MAIL FROM:<s@a>\r\n", b"RCPT TO:<r@b>\r\n"
DATA, QUIT = b"DATA\r\n", b"QUIT\r\n"
TEXT = b"hello\r\n.\r\n"


def converse(replies, recipients=(b"r@b",), sender=b"s@a", message=b"hello\n", bytewise=False):
    """(what was sent, the report) for these replies of the server, then end of file."""
    session = Session(Peer(b"192.0.2.1", b"me.example"), sender, list(recipients))
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
    session = Session(Peer(b"192.0.2.1", b"me"), b"", [b"a@b", b"c@d"])
    replies = b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"550 x\r\n", b"250 x\r\n"
    assert [session.receive(reply) for reply in replies] == [
        b"HELO me\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", DATA]


def test_a_message_that_cannot_be_read_leaves_the_server_without_an_end():
    session = Session(Peer(b"192.0.2.1", b"me"), b"s@a", [b"r@b"])
    session.receive(GOOD[:-10])
    session.unreadable()
    assert (session.wants, session.report) == (NOTHING, b"r\0ZUnable to read message. (#4.3.0)\n\0")


def test_a_reply_before_the_end_of_the_message_counts_only_after_it():
    session = Session(Peer(b"192.0.2.1", b"me"), b"s@a", [b"r@b"])
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


# ------------------------------------------------------------ connections that stay, and PIPELINING

EHLO = b"EHLO me.example\r\n"
OFFER = b"220 hi\r\n250-far\r\n250-SIZE 1000\r\n250 pipelining\r\n"
OTHER = b"RCPT TO:<q@b>\r\n"
ACCEPTED = b"K192.0.2.1 accepted message.\nRemote host said: 250 done\n\0"


def crowd_peer(extended=True, pipelining=False, messages=0):
    peer = Peer(b"192.0.2.1", b"me.example", extended)
    peer.pipelining, peer.messages = pipelining, messages
    return peer


def talk(peer, *pieces, recipients=(b"r@b",), staying=True, message=b"hello\n"):
    """(what was sent at each step, the session): the first step is without a word of the server."""
    session = Session(peer, b"s@a", list(recipients), lambda: staying)
    sent = [session.opening]
    for piece in pieces:
        said = session.receive(piece)
        while session.wants is MESSAGE:
            said += session.body(message) + session.body_end()
            said += session.proceed()
        sent.append(said)
    return sent, session


def test_commands_go_out_together_where_pipelining_is_offered():
    sent, session = talk(crowd_peer(), b"220 hi\r\n", OFFER[8:], b"250 ok\r\n250 ok\r\n", b"354 go\r\n",
                         b"250 done\r\n")
    assert sent == [b"", EHLO, MAIL + RCPT + DATA, b"", TEXT, b""]
    assert session.stays and session.report == b"r\0" + ACCEPTED


@pytest.mark.parametrize("reply", [b"502 what\r\n", b"451 not now\r\n"])
def test_a_server_without_ehlo_is_greeted_with_helo(reply):
    sent, _ = talk(crowd_peer(), b"220 hi\r\n", reply, b"250 ok\r\n")
    assert sent == [b"", EHLO, HELO, MAIL]


def test_a_server_that_closes_at_ehlo_is_not_asked_again():
    sent, session = talk(crowd_peer(), b"220 hi\r\n", b"421 busy\r\n")
    assert sent[-1] == QUIT and session.report.startswith(b"ZConnected to 192.0.2.1 but my name was rejected.")


def test_a_server_that_dies_of_ehlo_gets_another_chance():
    _, session = talk(crowd_peer(), b"220 hi\r\n", b"")
    assert (session.wants, session.stale, session.report) == (NOTHING, True, b"")


@pytest.mark.parametrize("keyword, offered", [
    (b"PIPELINING", True), (b"pipelining", True), (b"PIPELINING x", True), (b"PIPELININGS", False),
    (b"X PIPELINING", False)])
def test_the_offer(keyword, offered):
    assert client.offers(b"250-far\n250 " + keyword + b"\n", b"PIPELINING") == offered
    assert not client.offers(b"250 " + keyword + b"\n", b"PIPELINING"), "the first line is a greeting"


KEPT = dict(pipelining=True, messages=3)
TWO = MAIL + RCPT + OTHER + DATA
MIXED = [
    # replies in one piece                                   sent after them     report
    (b"550 no\r\n503 x\r\n503 x\r\n503 x\r\n", QUIT,
     b"DConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 550 no\n\0"),
    (b"550 no\r\n503 x\r\n503 x\r\n354 go\r\n", b"",            # it waits for a text now: not one byte of one
     b"DConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 550 no\n\0"),
    (b"250 ok\r\n450 no\r\n550 no\r\n554 x\r\n", QUIT,
     b"s192.0.2.1 does not like recipient.\nRemote host said: 450 no\n\0"
     b"h192.0.2.1 does not like recipient.\nRemote host said: 550 no\n\0DGiving up on 192.0.2.1.\n\0"),
    (b"250 ok\r\n550 no\r\n550 no\r\n354 go\r\n", b"",
     b"h192.0.2.1 does not like recipient.\nRemote host said: 550 no\n\0" * 2 + b"DGiving up on 192.0.2.1.\n\0"),
    (b"250 ok\r\n250 ok\r\n250 ok\r\n451 full\r\n", QUIT,
     b"r\0r\0Z192.0.2.1 failed on DATA command.\nRemote host said: 451 full\n\0"),
    (b"250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n", TEXT,
     b"h192.0.2.1 does not like recipient.\nRemote host said: 550 no\n\0r\0"),
]


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("replies, sent, report", MIXED)
def test_mixed_replies_to_commands_sent_together(replies, sent, report, bytewise):
    peer = crowd_peer(pipelining=True)
    pieces = [bytes((byte,)) for byte in OFFER + replies] if bytewise else [OFFER, replies]
    said, session = talk(peer, *pieces, recipients=[b"r@b", b"q@b"])
    assert b"".join(said) == EHLO + TWO + sent
    assert session.report == report
    assert not session.stays and (session.wants is READ) == (sent == TEXT)


def test_whoever_dies_after_its_verdict_has_given_it():
    _, session = talk(crowd_peer(), OFFER, b"550 no\r\n503 x\r\n", b"")
    assert session.report == b"DConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 550 no\n\0"


def test_no_more_than_a_window_of_commands_is_on_its_way():
    recipients = [b"%d@b" % number for number in range(250)]
    sent, session = talk(crowd_peer(), OFFER, *[b"250 ok\r\n" * client.WINDOW] * 2, b"250 ok\r\n" * 51 + b"354 go\r\n",
                         b"250 done\r\n", recipients=recipients)
    assert [piece.count(b"\r\n") for piece in sent] == [0, 1 + client.WINDOW, client.WINDOW, 52, 2, 0]
    assert session.report == b"r\0" * 250 + ACCEPTED


def test_replies_nobody_asked_for_are_no_answers():
    """A server one reply ahead would have its `250` for RCPT taken for that of the message."""
    sent, session = talk(crowd_peer(), OFFER, b"250 ok\r\n250 ok\r\n354 go\r\n250 early\r\n")
    assert sent[-1] == b"" and session.report == b"r\0ZConnected to 192.0.2.1 but connection died. (#4.4.2)\n\0"
    sent, session = talk(crowd_peer(**KEPT), b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 done\r\n250 what\r\n")
    assert sent[-1] == QUIT and not session.stays and session.report == b"r\0" + ACCEPTED


@pytest.mark.parametrize("pipelining, opening", [(True, MAIL + RCPT + DATA), (False, MAIL)])
def test_a_kept_connection_begins_with_mail(pipelining, opening):
    assert talk(crowd_peer(pipelining=pipelining, messages=1))[0] == [opening]


STEPS = [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 done\r\n"]


@pytest.mark.parametrize("pipelining", [False, True])
@pytest.mark.parametrize("step", range(4))
def test_a_kept_connection_that_dies(step, pipelining):
    """Before the end of the message is sent nothing is decided; after it the server may have the message."""
    _, session = talk(crowd_peer(pipelining=pipelining, messages=1), *STEPS[:step], b"")
    assert session.wants is NOTHING and session.stale == (step < 3)
    assert session.report == (b"" if step < 3 else
                              b"r\0ZConnected to 192.0.2.1 but connection died. Possible duplicate! (#4.4.2)\n\0")


@pytest.mark.parametrize("step, reply, stale", [
    (0, b"421 enough\r\n", True), (0, b"452 enough\r\n", True), (0, b"550 no\r\n", True),
    (1, b"421 enough\r\n", True), (1, b"450 no\r\n", False), (1, b"550 no\r\n", False),
    (2, b"421 enough\r\n", True), (2, b"451 no\r\n", False), (3, b"421 enough\r\n", False)])
def test_a_server_that_has_had_enough_of_a_connection(step, reply, stale):
    _, session = talk(crowd_peer(messages=1), *STEPS[:step], reply)
    assert session.wants is NOTHING and session.stale == stale and bool(session.report) != stale


def test_the_same_words_on_a_fresh_connection_are_a_verdict():
    _, session = talk(crowd_peer(extended=False), b"220 hi\r\n", b"250 ok\r\n", b"421 enough\r\n")
    assert not session.stale and session.report.startswith(b"ZConnected to 192.0.2.1 but sender was rejected.")


def test_an_address_with_a_line_end_is_in_no_batch():
    sent, session = talk(crowd_peer(**KEPT), b"250 ok\r\n250 ok\r\n354 go\r\n", recipients=[b"x\r\nDATA@b", b"r@b"])
    assert sent[0] == MAIL + RCPT + DATA and session.report.startswith(b"hSMTP cannot transfer addresses")
