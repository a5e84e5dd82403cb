"""Conversations with the sessions of qmail-qmtpd and qmail-qmqpd, without socket or queue."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyqmail.base import home
from pyqmail.base.received import Client
from pyqmail.qmtp import qmqp, qmtp, session as events, wire

NOW = 1_000_000_000
VARIABLES = {b"TCPREMOTEIP": b"192.0.2.7", b"TCPREMOTEHOST": b"client.example", b"TCPLOCALHOST": b"server.example"}
RECEIVED = b"Received: from client.example (192.0.2.7)\n  by server.example with %b; 9 Sep 2001 01:46:40 -0000\n"
OK = wire.netstring(b"Kok 1000000000 qp 7")


class Driver:
    """Plays the I/O: `queued` is what was submitted, `broken_off` counts what was not, `said` what the client
    hears."""

    def __init__(self, session, answers=(), full=False):
        self.session, self.answers, self.full = session, list(answers), full
        self.queued, self.broken_off, self.said, self.text, self.status = [], 0, b"", None, None

    def hears(self, *pieces):
        """Feed the pieces; False once the session is over."""
        for piece in pieces:
            if not self.go_on():
                return False
            self.session.feed(piece)
        return self.go_on()

    def go_on(self):
        while (event := self.session.next_event()) is not wire.NEED_DATA:
            if event is events.FLUSH:
                self.flush()
            elif event is events.OPEN:
                if self.full:
                    self.session.queue_failed()
                else:
                    self.text = [self.session.queue_opened(NOW)]
            elif event is events.END:
                self.submit()
            elif event is events.CLOSE:
                self.flush()
                self.status = self.session.status
                return False
            else:
                assert event
                self.text.append(event)
        self.flush()
        return True

    def flush(self):
        self.said += self.session.replies
        self.session.replies.clear()

    def submit(self):
        if self.session.refused:
            self.broken_off += 1
            answer = b"Zqq read error (#4.3.0)"
        else:
            self.queued.append((b"".join(self.text), self.session.sender, list(self.session.recipients)))
            answer = self.answers.pop(0) if self.answers else b""
        self.session.answered(answer, 7, NOW)


@pytest.fixture
def qmtpd(tmp_path, monkeypatch):
    """connect(controls, variables, …): a Driver of a QMTP session."""
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()

    def connect(controls=None, variables=None, **more):
        for name, text in {"rcpthosts": "local.test\n", **(controls or {})}.items():
            (tmp_path / "control" / name).write_text(text)
        client = Client({**VARIABLES, **(variables or {})})
        return Driver(qmtp.QmtpSession(qmtp.Policy(), client), **more)
    return connect


def qmqpd(**more):
    return Driver(qmqp.QmqpSession(Client(VARIABLES)), **more)


def message(text=b"\nhello\n", sender=b"s@far.test", recipients=(b"r@local.test",)):
    return wire.netstring(text) + wire.netstring(sender) + wire.netstring(b"".join(map(wire.netstring, recipients)))


def packet(text=b"hello\n", sender=b"s@far.test", recipients=(b"r@local.test",)):
    before, after = qmqp.packet(text, sender, b"".join(map(wire.netstring, recipients)))
    return before + text + after


NOT_HERE = wire.netstring(b"Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)")
CANNOT = wire.netstring(b"Dsorry, I can't handle that recipient (#5.1.3)")


def test_qmtp_messages_follow_each_other(qmtpd):
    driver = qmtpd()
    assert driver.hears(message() + message(b"\rtwo\r\n", b"", [b"a@local.test", b"b@far.test"]))
    assert driver.queued == [(RECEIVED % b"QMTP" + b"hello\n", b"s@far.test", [b"r@local.test"]),
                             (RECEIVED % b"QMTP" + b"two\n", b"", [b"a@local.test"])]
    assert driver.said == OK + OK + NOT_HERE


@pytest.mark.parametrize("sent, queued", [
    (b"\ra\rb\r\nc\nd\r\r\ne\r", b"a\rb\nc\nd\r\ne\r"), (b"\r", b""), (b"\r\r\n", b"\n"),
    (b"\na\r\nb", b"a\r\nb"), (b"\n", b""), (b"\r\n", b"\n")])
def test_line_ends_however_the_bytes_come(qmtpd, sent, queued):
    for size in (1, 2, 1000):
        driver, text = qmtpd(), message(sent)
        assert driver.hears(*(text[n:n + size] for n in range(0, len(text), size)))
        assert driver.queued[0][0] == RECEIVED % b"QMTP" + queued


@pytest.mark.parametrize("answer", [b"Zqq trouble (#4.3.0)", b"Dno (#5.3.0)"])
def test_the_queue_decides_for_those_who_were_not_refused(qmtpd, answer):
    driver = qmtpd(answers=[answer])
    driver.hears(message(recipients=[b"a@local.test", b"a@far.test", b"a\0@local.test", b"b@local.test"]))
    assert driver.said == wire.netstring(answer) + NOT_HERE + CANNOT + wire.netstring(answer)


def test_relayclient_is_added_and_opens_all_domains(qmtpd):
    driver = qmtpd(variables={b"RELAYCLIENT": b"@relay"})
    driver.hears(message(recipients=[b"a@far.test", b"x" * 993, b"x" * 994]))
    assert driver.queued[0][2] == [b"a@far.test@relay", b"x" * 993 + b"@relay"]
    assert driver.said == OK + OK + CANNOT


@pytest.mark.parametrize("text, taken", [
    (b"\n" + b"x" * 10, True), (b"\n" + b"x" * 11, False), (b"\r" + b"x" * 8 + b"\r\n\r\n", True),
                                         (b"\r" + b"x" * 9 + b"\r\n\r", False), (b"\r" + b"x" * 10 + b"\r", False)])
def test_databytes(qmtpd, text, taken):
    driver = qmtpd({"databytes": "10\n"})
    driver.hears(message(text))
    assert (len(driver.queued), driver.broken_off) == ((1, 0) if taken else (0, 1))
    assert driver.said == (OK if taken else
                           wire.netstring(b"Dsorry, that message size exceeds my databytes limit (#5.3.4)"))


def test_nothing_beyond_databytes_goes_to_the_queue(qmtpd):
    driver = qmtpd({"databytes": "10\n"})
    driver.hears(b"1000000:\n", *[b"x" * 1000] * 999)
    assert sum(map(len, driver.text)) < 2000


def test_maxrecipients(qmtpd):
    driver = qmtpd({"maxrecipients": "2\n"})
    driver.hears(message(recipients=[b"a@local.test", b"b@far.test", b"b@local.test", b"c@local.test"]))
    assert driver.said == OK + NOT_HERE + OK + wire.netstring(b"Ztoo many recipients (#4.5.3)")
    assert driver.queued[0][2] == [b"a@local.test", b"b@local.test"]


def test_many_answers_are_sent_as_they_are_made(qmtpd):
    driver = qmtpd()
    driver.hears(message(recipients=[b"b@far.test"] * 2000))
    assert driver.said == NOT_HERE * 2000 and driver.broken_off == 1


@pytest.mark.parametrize("text, status", [
    (b"0:,", 100), (b"5:hello,", 100), (b"6:\nhello;", 100), (b"6:\nhello,1:a;", 100),
    (b"6:\nhello,1:a,5:9:r@loc", 100),
    (b"6:\nhello,1:a,7:3:r@l;x", 100), (b"6:\nhello,1:a,6:3:r@l,;", 100), (b"6:\nhello,1:a,6:3a:rl", 100),
    (b"x", 100), (b"6:\nhello,1:a,1000000000:", 111), (b"6:\nhello,1:a,99999999:", 111), (b"1000000000:", 111)])
def test_qmtp_bad_syntax(qmtpd, text, status):
    driver = qmtpd()
    assert not driver.hears(text)
    assert (driver.status, driver.said, driver.queued) == (status, b"", [])


def test_no_queue_is_no_answer(qmtpd):
    driver = qmtpd(full=True)
    assert not driver.hears(message())
    assert (driver.status, driver.said) == (111, b"")
    driver = qmqpd(full=True)
    assert not driver.hears(packet())
    assert (driver.status, driver.said) == (111, b"")


# QMQP

def test_qmqp_message():
    driver = qmqpd()
    assert not driver.hears(packet(recipients=[b"r@far.test", b"", b"x" * 999]))
    assert driver.queued == [(RECEIVED % b"QMQP" + b"hello\n", b"s@far.test", [b"r@far.test", b"", b"x" * 999])]
    assert (driver.said, driver.status) == (OK, 0)


@pytest.mark.parametrize("sender, recipients", [(b"a\0b", [b"r@x"]), (b"a" * 1000, [b"r@x"]), (b"s", [b"r@x", b"a\0"]),
                                                (b"s", [b"a" * 1000, b"r@x"])])
def test_qmqp_bad_address_refuses_all(sender, recipients):
    driver = qmqpd()
    driver.hears(packet(b"m", sender, recipients))
    assert (driver.queued, driver.broken_off, driver.status) == ([], 1, 0)
    assert driver.said == wire.netstring(b"Dsorry, I can't accept addresses like that (#5.1.3)")


def test_qmqp_is_submitted_with_the_last_comma_only():
    driver, text = qmqpd(), packet()
    assert driver.hears(text[:-1])
    assert not driver.queued
    assert not driver.hears(b",garbage")
    assert len(driver.queued) == 1 and driver.said == OK


@pytest.mark.parametrize("text, status", [
    (b"0:,", 100), (b"10:100:" + b"x" * 120, 100), (b"20:5:hello;1:a,3:b@c,xx,", 100), (b"1x:", 100), (b"0" * 101, 100),
    (b"2000000010:", 111), (packet()[:-1] + b";", 100), (b"11:1:x,1:a,1:b,", 100)])
def test_qmqp_bad_syntax(text, status):
    driver = qmqpd()
    assert not driver.hears(text)
    assert (driver.status, driver.said, driver.queued) == (status, b"", [])


def test_qmqp_more_recipients_than_memory(monkeypatch):
    monkeypatch.setattr(qmqp, "RECIPIENTS", 3)
    driver = qmqpd()
    driver.hears(packet(recipients=[b"r"] * 4))
    assert (driver.status, driver.said, driver.queued) == (111, b"", [])
    driver = qmqpd()
    driver.hears(packet(recipients=[b"r"] * 3))
    assert driver.said == OK


ADDRESSES = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"0"))


@settings(max_examples=60)
@given(st.binary(max_size=200), ADDRESSES, st.lists(ADDRESSES, max_size=5), st.integers(1, 50))
def test_what_a_client_packs_the_server_takes(text, sender, recipients, size):
    driver, sent = qmqpd(), packet(text, sender, recipients)
    driver.hears(*(sent[n:n + size] for n in range(0, len(sent), size)))
    assert driver.queued == [(RECEIVED % b"QMQP" + text, sender, recipients)]


@settings(max_examples=150)
@given(st.lists(st.sampled_from([b"1", b"0", b"9", b":", b",", b"\n", b"\r", b"x", b"3:a@b,", b"\0", b"2:\n\r,",
                                 b"1:"]), max_size=40))
def test_sessions_are_total(pieces):
    """Whatever comes, a session ends with a status or waits for more; and pieces make no difference."""
    text = b"".join(pieces)
    policy = qmtp.Policy.__new__(qmtp.Policy)
    policy.check, policy.unknown = False, 0
    policy.databytes, policy.recipients, policy.rcpthosts = 5, 3, type("All", (), {"allows": lambda self, _: True})()
    for make in (lambda: qmtp.QmtpSession(policy, Client({})), lambda: qmqp.QmqpSession(Client({}))):
        whole, single = Driver(make()), Driver(make())
        assert whole.hears(text) == single.hears(*(bytes((byte,)) for byte in text))
        assert (whole.said, whole.status, whole.queued) == (single.said, single.status, single.queued)
        assert whole.status in (None, 0, 100, 111)


@pytest.mark.parametrize("data, letter", [
    (b"3:Kok,", b"K"), (b"9:Ztry later,", b"Z"), (b"7:Dno,", b"D"), (b"22:", b""), (b"", b"")])
def test_verdict(data, letter):
    assert qmqp.verdict(data) == letter


def test_packet_that_no_server_takes(monkeypatch):
    monkeypatch.setattr(qmqp, "LONGEST", 20)
    assert qmqp.packet(b"x" * 10, b"s", b"") == (b"18:10:", b",1:s,,")
    with pytest.raises(wire.TooLong):
        qmqp.packet(b"x" * 13, b"s", b"")


# ---------------------------------------------------------------- recipients that are checked

NO_MAILBOX, NO_ROOM, UNCHECKED = (wire.netstring(text) for text in (
    b"Dsorry, no mailbox here by that name (#5.1.1)", b"Dsorry, that mailbox has no room for your message (#5.2.2)",
    b"Zsorry, I can't tell now whether that mailbox exists (#4.3.0)"))
MAILBOXES = {b"joe": b"K", b"full": b"Q", b"away": b"Z", b"small": 30}


class Asked(Driver):
    """A Driver that answers for MAILBOXES; `asked`: what was asked."""

    def __init__(self, session, **more):
        super().__init__(session, **more)
        self.asked = []
        self.next_event, session.next_event = session.next_event, self.answering

    def answering(self):
        while (event := self.next_event()) is events.CHECK:
            addresses, size = self.session.questions
            assert 0 < len(addresses) <= 50
            self.asked.append((addresses, size))
            self.session.answers = [self.answer(address.partition(b"@")[0], size) for address in addresses]
        return event

    @staticmethod
    def answer(name, size):
        found = MAILBOXES.get(name, b"U")
        return found if isinstance(found, bytes) else b"Q" if size > found else b"K%d" % found


def checked(qmtpd, **controls):
    return Asked(qmtpd({"rcptcheck": "1\n", **controls}).session)


def to(*names):
    return [name + b"@local.test" for name in names]


def test_each_recipient_is_told_about_his_mailbox(qmtpd):
    driver = checked(qmtpd)
    assert driver.hears(message(recipients=[*to(b"joe", b"nobody"), b"joe@far.test", *to(b"full", b"away", b"joe")]))
    assert driver.said == OK + NO_MAILBOX + NOT_HERE + NO_ROOM + UNCHECKED + OK
    assert [queued[2] for queued in driver.queued] == [to(b"joe", b"joe")]
    assert driver.asked == [(to(b"joe", b"nobody", b"full", b"away", b"joe"), 0)]


@pytest.mark.parametrize("size, answer", [(30, OK), (31, NO_ROOM)])
def test_the_size_is_asked_about_where_it_matters(qmtpd, size, answer):
    driver = checked(qmtpd)
    driver.hears(message(b"\n" + b"x" * size, recipients=to(b"small", b"joe")))
    assert driver.said == answer + OK
    assert driver.asked[1:] == ([] if answer is OK else [(to(b"small"), 31)])


def test_nobody_left_is_no_message(qmtpd):
    driver = checked(qmtpd)
    assert driver.hears(message(recipients=to(b"nobody")))
    assert driver.queued == [] and driver.broken_off == 1 and driver.said == NO_MAILBOX


def test_what_is_refused_anyway_is_not_asked_about(qmtpd):
    driver = checked(qmtpd, databytes="3\n")
    driver.hears(message(recipients=to(b"nobody")))
    assert driver.asked == [] and driver.said == wire.netstring(qmtp.TOO_BIG)


def test_who_tries_names_is_sent_away(qmtpd):
    driver = checked(qmtpd, maxunknown="3\n")
    assert driver.hears(message(recipients=to(b"nobody", b"noone", b"joe")))
    assert not driver.hears(message(recipients=to(b"joe", b"nothing")) + message())
    assert driver.said == NO_MAILBOX * 2 + OK + OK + NO_MAILBOX and len(driver.queued) == 2


def test_a_long_list_is_asked_about_in_pieces(qmtpd):
    driver = checked(qmtpd, maxunknown="0\n")
    assert driver.hears(message(recipients=to(*[b"joe", b"nobody"] * 60)))
    assert driver.said == (OK + NO_MAILBOX) * 60 and [len(some) for some, _ in driver.asked] == [50, 50, 20]
