"""Conversations with qmail-smtpd's session: what the client says, what it hears, what the queue gets."""
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyqmail.base import cdb, home
from pyqmail.base.received import Client
from pyqmail.smtp import session as smtp
from pyqmail.smtp.policy import Policy

NOW = 1_000_000_000
RECEIVED = b"Received: from client.example (192.0.2.7)\n  by server.example with SMTP; 9 Sep 2001 01:46:40 -0000\n"
VARIABLES = {b"TCPREMOTEIP": b"192.0.2.7", b"TCPREMOTEHOST": b"client.example", b"TCPLOCALHOST": b"server.example"}
CONTROLS = {"me": "mx.example\n", "rcpthosts": "local.test\n.local.test\n"}


class Driver:
    """Plays the network and the queue. `queued`: (sender, recipients, message) of what was accepted."""

    def __init__(self, session, answers=(), no_queue=False):
        self.session, self.answers, self.no_queue = session, list(answers), no_queue
        self.heard, self.queued, self.message, self.refusals = b"", [], b"", []

    def say(self, data, step=None):
        """Send data, `step` bytes at a time; returns what the client hears meanwhile."""
        before = len(self.heard)
        for start in range(0, len(data), step or len(data) or 1):
            if not self.turn():
                break
            self.session.feed(data[start:start + (step or len(data))])
        self.turn()
        return self.heard[before:]

    def turn(self):
        """Act on events until more bytes are needed; False when the session is over."""
        session = self.session
        while True:
            event = session.next_event()
            if event is smtp.OPEN:
                if self.no_queue:
                    session.queue_failed()
                else:
                    self.message = session.queue_opened(NOW)
            elif event is smtp.END:
                self.refusals.append(session.refusal)
                answer = b"Zqq read error (#4.3.0)" if session.refusal else self.answers.pop(0) if self.answers else b""
                if not answer:
                    self.queued.append((session.sender, session.recipients, self.message))
                session.answered(answer, 4711, NOW)
            elif event in (smtp.NEED_DATA, smtp.FLUSH, smtp.CLOSE):
                self.heard += session.replies
                session.replies.clear()
                if event is not smtp.FLUSH:
                    return event is smtp.NEED_DATA
            else:
                self.message += event


@pytest.fixture
def connect(tmp_path, monkeypatch):
    """connect(controls, variables, …): a Driver whose client has heard the greeting."""
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()

    def make(controls=None, variables=None, eager=True, **more):
        for name, text in {**CONTROLS, **(controls or {})}.items():
            if text is not None:
                (tmp_path / "control" / name).write_bytes(text.encode())
        driver = Driver(smtp.Session(Policy(), Client({**VARIABLES, **(variables or {})}), eager), **more)
        driver.say(b"")
        return driver
    return make


MAIL = b"MAIL FROM:<s@far.test>\r\n"
RCPT = b"RCPT TO:<r@local.test>\r\n"
ENVELOPE = MAIL + RCPT
OPENED = b"250 ok\r\n250 ok\r\n354 go ahead\r\n"
ACCEPTED = b"250 ok 1000000000 qp 4711\r\n"

REPLIES = [
    # said                                  heard
    (b"QUIT\r\nNOOP\r\n",                   b"221 mx.example\r\n"),
    (b"HELO x\r\n",                         b"250 mx.example\r\n"),
    (b"EHLO\r\n",                           b"250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
    (b"noop x\nRsEt\n",                     b"250 ok\r\n250 flushed\r\n"),
    (b"VRFY a\r\nHELP\r\n",                 b"252 send some mail, i'll try my best\r\n"
                                            b"214 notqmail home page: https://notqmail.org\r\n"),
    (b"STARTTLS\r\nAUTH PLAIN\r\n\r\n",     b"502 unimplemented (#5.5.1)\r\n" * 3),
    (RCPT + b"DATA\r\n",                    b"503 MAIL first (#5.5.1)\r\n" * 2),
    (MAIL + b"DATA\r\n",                    b"250 ok\r\n503 RCPT first (#5.5.1)\r\n"),
    (ENVELOPE + b"RSET\r\nDATA\r\n",        b"250 ok\r\n250 ok\r\n250 flushed\r\n503 MAIL first (#5.5.1)\r\n"),
    (ENVELOPE + b"HELO x\r\nDATA\r\n",      b"250 ok\r\n250 ok\r\n250 mx.example\r\n503 MAIL first (#5.5.1)\r\n"),
    (ENVELOPE + MAIL + b"DATA\r\n",         b"250 ok\r\n" * 3 + b"503 RCPT first (#5.5.1)\r\n"),
    (MAIL + b"RCPT TO:<x@far.test>\r\n",
     b"250 ok\r\n553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n"),
    (b"MAIL FROM:<" + b"a" * 900 + b">\r\n", b"555 syntax error (#5.5.4)\r\n"),
    (b"x" * 5000 + b"\r\nNOOP\r\n",         b"502 unimplemented (#5.5.1)\r\n250 ok\r\n"),
    (b"NOOP " + b"x" * 5000 + b"\r\nNOOP\r\n", b"500 line too long (#5.5.2)\r\n250 ok\r\n"),
    (b"MAIL FROM:<" + b"x" * 70_000 + b"\r\n" + RCPT, b"500 line too long (#5.5.2)\r\n503 MAIL first (#5.5.1)\r\n"),
]


@pytest.mark.parametrize("said, heard", REPLIES)
@pytest.mark.parametrize("step", [None, 1])
def test_replies(connect, said, heard, step):
    assert connect().say(said, step) == heard


MESSAGES = [
    # after DATA                            message as queued
    (b".\r\n",                              b""),
    (b"hello\r\n.\r\n",                     b"hello\n"),
    (b"..\r\n.x\r\n...\r\n.\r\n",           b".\nx\n..\n"),
    (b"a\r\n\r\nNUL \0 8bit \xff\r\n.\r\n", b"a\n\nNUL \0 8bit \xff\n"),
    (b"x" * 20_000 + b"\r\n.\r\n",          b"x" * 20_000 + b"\n"),
]


@pytest.mark.parametrize("text, message", MESSAGES)
@pytest.mark.parametrize("step", [None, 1, 3])
def test_message_reaches_the_queue(connect, text, message, step):
    driver = connect()
    assert driver.say(ENVELOPE + b"DATA\r\n" + text + b"QUIT\r\n", step) == OPENED + ACCEPTED + b"221 mx.example\r\n"
    assert driver.queued == [(b"s@far.test", [b"r@local.test"], RECEIVED + message)]
    assert driver.session.status == 0


def test_greeting(connect):
    assert connect({"smtpgreeting": "hello there \n"}).heard == b"220 hello there ESMTP\r\n"


@pytest.mark.parametrize("answer, reply", [
    (b"Denvelope address too long for qq (#5.1.3)", b"554 envelope address too long for qq (#5.1.3)\r\n"),
    (b"Zqq timeout (#4.3.0)", b"451 qq timeout (#4.3.0)\r\n"),
    (b"Xodd", b"451 odd\r\n"),
    (b"Dspam: win\r\n250 ok\0\x7f\t\xe9\r\n", b"554 spam: win??250 ok??\t\xe9\r\n"),     # a program's, made of a stranger's words
])
def test_answer_of_the_queue(connect, answer, reply):
    driver = connect(answers=[answer])
    message = ENVELOPE + b"DATA\r\nx\r\n.\r\n"
    assert driver.say(message + message) == OPENED + reply + OPENED + ACCEPTED


def test_no_queue_makes_text_commands(connect):
    driver = connect(no_queue=True)
    assert driver.say(ENVELOPE + b"DATA\r\nRSET\r\nDATA\r\n") == \
        b"250 ok\r\n250 ok\r\n451 qqt failure (#4.3.0)\r\n250 flushed\r\n503 MAIL first (#5.5.1)\r\n"


@pytest.mark.parametrize("limits", [({"databytes": "6"}, {}), ({"databytes": "1"}, {b"DATABYTES": b"6"})])
def test_databytes(connect, limits):
    driver = connect(*limits)
    assert driver.say(ENVELOPE + b"DATA\r\nhello\r\n.\r\n") == OPENED + ACCEPTED
    assert driver.say(ENVELOPE + b"DATA\r\nhello!\r\n.\r\nNOOP\r\n") == \
        OPENED + b"552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n250 ok\r\n"


@pytest.mark.parametrize("variable", [b"0", b"", b"junk", b"4294967295"])
def test_databytes_variable_lifts_the_limit(connect, variable):
    driver = connect({"databytes": "1"}, {b"DATABYTES": variable})
    assert driver.say(ENVELOPE + b"DATA\r\nhello\r\n.\r\n") == OPENED + ACCEPTED


def test_looping_message(connect):
    driver = connect({"databytes": "10"})
    looping = b"rEceived\r\nDelivered-To: x\r\n" * 50 + b"\r\n.\r\n"
    assert driver.say(ENVELOPE + b"DATA\r\n" + looping, 7) == \
        OPENED + b"554 too many hops, this message is looping (#5.4.6)\r\n"
    assert driver.queued == []


def test_badmailfrom(connect):
    driver = connect({"badmailfrom": "Spam@bad.test\n@evil.test\n"})
    bad = b"553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)\r\n"
    for sender, refused in [(b"spam@BAD.test", True), (b"x@evil.test", True), (b"x@y@evil.test", True),
                            (b"ok@bad.test", False), (b"x@sub.evil.test", False), (b"", False)]:
        assert driver.say(b"MAIL FROM:<%b>\r\n" % sender + RCPT) == b"250 ok\r\n" + (bad if refused else b"250 ok\r\n")


def test_relayclient_is_added_to_recipients(connect):
    driver = connect(variables={b"RELAYCLIENT": b"@gate.test"})
    driver.say(MAIL + b"RCPT TO:<x@far.test>\r\nRCPT TO:<>\r\nDATA\r\n.\r\n")
    assert driver.queued[0][1] == [b"x@far.test@gate.test", b"@gate.test"]


def test_own_address_in_brackets(connect):
    driver = connect({"rcpthosts": "lih.test\n", "localiphost": "lih.test\n"})
    driver.say(b"MAIL FROM:<a@[127.0.0.1]>\r\n" + b"".join(
        b"RCPT TO:<r@%b>\r\n" % host for host in (b"[127.0.0.1]", b"[IPv6:::1]", b"[127.0.0.2]", b"[127.0.0.1]x")) +
        b"DATA\r\n.\r\n")
    assert driver.queued[0][:2] == (b"a@lih.test", [b"r@lih.test", b"r@lih.test"])


def test_morercpthosts(connect, tmp_path):
    with open(tmp_path / "control" / "morercpthosts.cdb", "wb") as f:
        cdb.write(f.fileno(), [(b"cdb.test", b""), (b".sub.test", b"")])
    driver = connect()
    assert driver.say(MAIL + b"RCPT TO:<a@CDB.test>\r\nRCPT TO:<a@x.sub.test>\r\nRCPT TO:<a@sub.test>\r\n") == \
        b"250 ok\r\n" * 3 + smtp.NO_GATEWAY


def test_broken_morercpthosts_is_temporary(connect, tmp_path):
    (tmp_path / "control" / "morercpthosts.cdb").write_bytes(b"short")
    driver = connect()
    assert driver.say(ENVELOPE + b"RCPT TO:<a@far.test>\r\nNOOP\r\n") == \
        b"250 ok\r\n250 ok\r\n421 unable to read controls (#4.3.0)\r\n"
    assert driver.session.status == 1


def test_too_many_recipients(connect):
    driver = connect({"maxrecipients": "2"})
    assert driver.say(MAIL + RCPT * 3 + b"DATA\r\n.\r\n") == \
        b"250 ok\r\n" * 3 + b"452 too many recipients (#4.5.3)\r\n354 go ahead\r\n" + ACCEPTED
    assert len(driver.queued[0][1]) == 2


def test_replies_are_flushed_before_they_fill_memory(connect):
    session = connect().session
    session.feed(b"\n" * 100_000)
    assert session.next_event() is smtp.FLUSH
    assert len(session.replies) < 2 * smtp.REPLIES


def test_timeout(connect):
    driver = connect()
    driver.session.close(smtp.TIMEOUT)
    assert driver.say(b"NOOP\r\n") == b"451 timeout (#4.4.2)\r\n" and driver.session.status == 1


SAID = st.lists(st.sampled_from([
    MAIL, RCPT, b"RCPT TO:<x@far.test>\r\n", b"DATA\r\n", b"DATA\r\n", b".\r\n", b"text\r\n", b"\n", b"\r", b"\0",
    b"RSET\r\n",
    b"QUIT", b"Received: x\r\n" * 60, b"HELO ", b"x" * 3000, b"MAIL FROM:<\"\\", b"RCPT TO:<a@[127.0.0.1]>\r\n"]),
    max_size=25)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SAID, st.integers(1, 40))
def test_pieces_make_no_difference(tmp_path, monkeypatch, said, step):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir(exist_ok=True)
    for name, text in {**CONTROLS, "databytes": "2000\n"}.items():
        (tmp_path / "control" / name).write_text(text)
    whole, pieces = (Driver(smtp.Session(Policy(), Client(VARIABLES))) for _ in range(2))
    for driver, length in ((whole, None), (pieces, step)):
        driver.say(b"".join(said), length)
    assert whole.heard == pieces.heard and whole.queued == pieces.queued and whole.refusals == pieces.refusals
