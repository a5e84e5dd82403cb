"""qmail-smtpd's session where recipients are checked: what is asked, and what the client hears then."""
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyqmail.base import home
from pyqmail.base.received import Client
from pyqmail.rcptcheck import wire
from pyqmail.smtp import session as smtp
from pyqmail.smtp.policy import Policy

NOW = 1_000_000_000
CONTROLS = {"me": "mx.example\n", "rcpthosts": "local.test\n", "rcptcheck": "1\n"}
OK, NONE, FULL, LATER = smtp.OK, smtp.NO_MAILBOX, smtp.NO_ROOM, smtp.UNCHECKED
ACCEPTED = b"250 ok 1000000000 qp 1\r\n"
MAIL, DATA = b"MAIL FROM:<s@far.test>\r\n", b"DATA\r\n"


class Mailboxes:
    """Plays the network, the queue and the service. who: {local part: answer}; a number is the room in the mailbox."""

    def __init__(self, session, who):
        self.session, self.who, self.asked, self.queued = session, who, [], []
        self.talk(b"")

    def answer(self, address, size):
        found = self.who.get(address.partition(b"@")[0].lower(), b"U")
        if isinstance(found, int):
            return b"Q" if max(size, 1) > found else b"K%d" % found
        return found

    def talk(self, data, step=None):
        """Send data, `step` bytes at a time; returns what the client hears."""
        session, heard = self.session, bytearray()
        pieces = [data[at:at + step] for at in range(0, len(data), step)] if step else [data]
        while True:
            event = session.next_event()
            if event is smtp.CHECK:
                addresses, size = session.questions()
                assert 0 < len(addresses) <= wire.BATCH
                self.asked.append((addresses, size))
                session.checked([self.answer(address, size) for address in addresses])
            elif event is smtp.OPEN:
                session.queue_opened(NOW)
            elif event is smtp.END:
                if not session.refusal:
                    self.queued.append(session.recipients)
                session.answered(b"Zqq read error (#4.3.0)" if session.refusal else b"", 1, NOW)
            elif event in (smtp.NEED_DATA, smtp.CLOSE, smtp.FLUSH):
                heard += session.replies
                session.replies.clear()
                if event is smtp.CLOSE or event is smtp.NEED_DATA and not pieces:
                    return bytes(heard)
                if event is smtp.NEED_DATA:
                    session.feed(pieces.pop(0))


WHO = {b"joe": b"K", b"sue": b"K", b"full": b"Q", b"away": b"Z", b"small": 30, b"large": 3000}


@pytest.fixture
def connect(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()

    def make(controls=None, variables=None, **options):
        for name, text in {**CONTROLS, **(controls or {})}.items():
            (tmp_path / "control" / name).write_text(text)
        client = Client({b"TCPREMOTEIP": b"192.0.2.7", **(variables or {})})
        return Mailboxes(smtp.Session(Policy(), client, **options), WHO)
    return make


def rcpt(*names):
    return b"".join(b"RCPT TO:<%b>\r\n" % (name if b"@" in name else name + b"@local.test") for name in names)


@pytest.mark.parametrize("name, reply", [
    (b"joe", OK), (b"JOE", OK), (b"nobody", NONE), (b"full", FULL), (b"away", LATER), (b"small", OK),
    (b"x@far.test", smtp.NO_GATEWAY), (b"z" * 900, smtp.SYNTAX)])
def test_reply(connect, name, reply):
    assert connect().talk(MAIL + rcpt(name)) == OK + reply


def test_replies_in_their_order_and_one_question_for_all(connect):
    client = connect()
    talk = (rcpt(b"joe", b"x@far.test", b"nobody") + MAIL
            + rcpt(b"joe", b"x@far.test", b"nobody", b"z" * 900, b"full", b"sue") + DATA)
    heard = (smtp.WANT_MAIL * 3 + OK + OK + smtp.NO_GATEWAY + NONE + smtp.SYNTAX + FULL + OK + smtp.GO_AHEAD)
    assert client.talk(talk) == heard
    assert client.asked == [([name + b"@local.test" for name in (b"joe", b"nobody", b"full", b"sue")], 0)]
    assert client.talk(b"x\r\n.\r\n") == ACCEPTED
    assert client.queued == [[b"joe@local.test", b"sue@local.test"]]


@pytest.mark.parametrize("step", [1, 7, 100])
def test_in_pieces(connect, step):
    client = connect()
    assert client.talk(MAIL + rcpt(b"joe", b"nobody", b"x@far.test", b"sue") + b"NOOP\r\n", step) == (
        OK + OK + NONE + smtp.NO_GATEWAY + OK + OK)


def test_a_long_list_is_asked_about_in_pieces(connect):
    client = connect()
    assert client.talk(MAIL + rcpt(*[b"joe"] * (2 * wire.BATCH + 3))) == OK * (2 * wire.BATCH + 4)
    assert [len(addresses) for addresses, _ in client.asked] == [wire.BATCH, wire.BATCH, 3]


def test_refused_by_all_is_no_message(connect):
    assert connect().talk(MAIL + rcpt(b"nobody", b"full") + DATA) == OK + NONE + FULL + smtp.WANT_RCPT


def test_whoever_may_relay_is_told_too(connect):
    client = connect(variables={b"RELAYCLIENT": b""})
    assert client.talk(MAIL + rcpt(b"nobody", b"joe@far.test", b"nobody@far.test")) == OK + NONE + OK + NONE
    assert client.asked == [([b"nobody@local.test", b"joe@far.test", b"nobody@far.test"], 0)]
    client = connect(variables={b"RELAYCLIENT": b"@inside.test"})
    client.talk(MAIL + rcpt(b"joe"))
    assert client.asked == [([b"joe@local.test@inside.test"], 0)]


@pytest.mark.parametrize("controls, options", [
    ({"rcptcheck": "0\n"}, {}), ({"rcptcheck": "\n"}, {}), ({}, {"check": False})])
def test_turned_off(connect, controls, options):
    client = connect(controls, **options)
    assert client.talk(MAIL + rcpt(b"nobody", b"full", b"away") + DATA + b"x" * 5000 + b"\r\n.\r\n") == (
        OK * 4 + smtp.GO_AHEAD + ACCEPTED)
    assert client.asked == []


@pytest.mark.parametrize("controls, limit", [({}, 20), ({"maxunknown": "3\n"}, 3)])
def test_too_many_unknown_ones_over_the_whole_session(connect, controls, limit):
    client = connect(controls)
    for _ in range(limit - 1):
        assert client.talk(MAIL + rcpt(b"nobody", b"joe", b"full", b"away")) == OK + NONE + OK + FULL + LATER
    assert client.talk(MAIL + rcpt(b"joe", b"nobody", b"joe", b"nobody") + DATA) == OK + OK + NONE + smtp.UNKNOWN_LIMIT
    assert client.session.closed and client.session.status == 1


def test_no_limit(connect):
    assert connect({"maxunknown": "0\n"}).talk(MAIL + rcpt(*[b"nobody"] * 200)) == OK + NONE * 200


def test_too_many_recipients_counts_those_taken(connect):
    assert connect({"maxrecipients": "2\n"}).talk(MAIL + rcpt(b"joe", b"nobody", b"sue", b"joe")) == (
        OK + OK + NONE + OK + smtp.TOO_MANY)


# ---------------------------------------------------------------- quotas

@pytest.mark.parametrize("recipients, size, reply, asked", [
    ((b"small",), 30, ACCEPTED, False), ((b"small",), 31, FULL, True), ((b"small", b"large"), 31, ACCEPTED, False),
    ((b"small", b"large"), 3001, FULL, True), ((b"small", b"joe"), 10_000, ACCEPTED, False)])
def test_room(connect, recipients, size, reply, asked):
    client = connect()
    client.talk(MAIL + rcpt(*recipients) + DATA)
    del client.asked[:]
    assert client.talk(b"x" * (size - 1) + b"\r\n.\r\n") == reply
    assert client.asked == ([([name + b"@local.test" for name in recipients], size)] if asked else [])
    assert client.talk(MAIL + rcpt(b"joe") + DATA + b"x" * 10_000 + b"\r\n.\r\n") == OK + OK + smtp.GO_AHEAD + ACCEPTED


def test_room_that_has_come_meanwhile(connect):
    """What was said at RCPT is a hint: no is said to the message only after it was asked about."""
    client = connect()
    client.talk(MAIL + rcpt(b"small") + DATA)
    client.who = {b"small": 1000}
    assert client.talk(b"x" * 500 + b"\r\n.\r\n") == ACCEPTED


@pytest.mark.parametrize("answer", [b"Z", b"U"])
def test_a_message_is_taken_when_nobody_can_tell_at_its_end(connect, answer):
    client = connect()
    client.talk(MAIL + rcpt(b"small") + DATA)
    client.who = {b"small": answer}
    assert client.talk(b"x" * 500 + b"\r\n.\r\n") == ACCEPTED


def test_other_refusals_come_first(connect):
    client = connect({"databytes": "100\n"})
    client.talk(MAIL + rcpt(b"small") + DATA)
    assert client.talk(b"x" * 500 + b"\r\n.\r\n") == smtp.TOO_BIG


LINES = st.lists(max_size=25, elements=st.sampled_from([
    MAIL, DATA, rcpt(b"joe"), rcpt(b"nobody"), rcpt(b"away"), rcpt(b"x@far.test"), b"RSET\r\n", rcpt(b"small"),
    b"EHLO x\r\n", b".\r\n", b"x" * 100 + b"\r\n", b"RCPT\r\n", b"\n"]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.integers(1, 60))
def test_pieces_make_no_difference(connect, lines, step):
    talk = b"".join(lines)
    assert connect().talk(talk) == connect().talk(talk, step)
