"""Targets that are whole sessions: bytes of a client (a server) in, replies and submissions out, as a driver does it
that has neither sockets nor a queue."""
import types

from pyqmail.base import received
from pyqmail.pop3 import session as pop3, wire as pop3_wire
from pyqmail.qmtp import qmqp, qmtp, session as netstrings
from pyqmail.qmtp.wire import NEED_DATA, Input as NetstringInput, BadSyntax, TooLong, netstring
from pyqmail.queue import client as queue
from pyqmail.rcptcheck import wire as rcptcheck     # noqa: F401  loaded here, so that it is instrumented
from pyqmail.smtp import client, reports, session as smtp
from pyqmail.smtp.data_writer import DataWriter, PartialLine

from . import models
from .reading import Input, pieces

NOW = 1_795_338_307
ENVIRON = {b"TCPREMOTEIP": b"192.0.2.1", b"TCPREMOTEHOST": b"client.example", b"TCPLOCALHOST": b"here.example"}
ANSWERS = (b"", b"", b"", b"Zqq temporary problem (#4.3.0)", b"Dqq permanent problem (#5.3.0)")
BATCH = 50


def options(given):
    """(models.Policy, eager, seed of the pieces) that the first five bytes of an input ask for."""
    bits, seed, size, room, queue_bits = (given.byte() for _ in range(5))

    def check(address, size):
        """Whoever begins with k, u, q, z is that; others have `room` bytes of room, or any number."""
        letter = address[:1].lower()
        if letter in (b"u", b"q", b"z"):
            return letter.upper()
        if letter == b"k" or not room:
            return b"K"
        return b"Q" if size > room else b"K%d" % room
    policy = models.Policy(
        relay=(None, b"", b"@relay.example")[bits % 3], check=check if bits & 8 else None, databytes=size,
        accept=lambda number: ANSWERS[(queue_bits >> number % 5) % len(ANSWERS)])
    return policy, bool(bits & 16), seed


def product_policy(policy):
    """The same, as the sessions want it."""
    hosts = types.SimpleNamespace(allows=policy.allowed)
    return types.SimpleNamespace(
        greeting=b"here.example", localize=lambda address: address, rcpthosts=hosts, databytes=policy.databytes,
        recipients=policy.most, check=bool(policy.check), unknown=policy.unknown if policy.check else 0,
        is_bad_sender=policy.bad)


def product_client(policy):
    relay = {} if policy.relay is None else {b"RELAYCLIENT": policy.relay}
    return received.Client(ENVIRON | relay)


class Driver:
    """What drives a session of SMTP, QMTP or QMQP: `replies` and `accepted` are what came of it."""

    def __init__(self, session, events, policy):
        self.session, self._events, self._policy = session, events, policy
        self.replies, self.accepted, self._count, self._text = b"", [], 0, None

    def run(self, parts):
        """Feed all parts; True if the session ended by itself."""
        parts = iter(parts)
        for _ in range(1_000_000):
            event = self.session.next_event()
            if event == NEED_DATA:
                self._flush()
                part = next(parts, None)
                if part is None:
                    return False
                self.session.feed(part)
            elif event == self._events.FLUSH:
                self._flush()
            elif event == self._events.CLOSE:
                self._flush()
                return True
            elif event == self._events.CHECK:
                self._check()
            elif event == self._events.OPEN:
                self._text = [self.session.queue_opened(NOW)]
                assert self._text[0].count(b"\n") == 2 and b"\r" not in self._text[0] and b"\0" not in self._text[0]
            elif event == self._events.END:
                self._end()
            else:
                assert type(event) is bytes
                self._text.append(event)
        raise AssertionError("a session that goes on for ever")

    def _flush(self):
        self.replies += bytes(self.session.replies)
        self.session.replies.clear()

    def _check(self):
        asked = getattr(self.session, "questions")
        addresses, size = asked() if callable(asked) else asked
        assert len(addresses) <= BATCH
        answers = [self._policy.check(address, size) for address in addresses]
        if callable(asked):
            self.session.checked(answers)
        else:
            self.session.answers = answers

    def _end(self):
        self._count += 1
        refused = getattr(self.session, "refusal", None) or getattr(self.session, "refused", False)
        answer = queue.READ_ERROR if refused else self._policy.accept(self._count)
        if not answer:
            self.accepted.append((self.session.sender, list(self.session.recipients), b"".join(self._text[1:])))
        self.session.answered(answer, 4711, NOW)
        self._text = None


def smtp_codes(replies):
    """The codes of the replies. Asserts that each line is one."""
    codes, going_on = [], None
    for line in replies.split(b"\r\n")[:-1]:
        assert line[:3].isdigit() and line[3:4] in (b" ", b"-") and b"2" <= line[:1] <= b"5", line
        assert all(byte >= 32 and byte != 127 or byte == 9 for byte in line), line
        assert going_on in (None, line[:3]), line
        going_on = line[:3] if line[3:4] == b"-" else None
        if going_on is None:
            codes.append(int(line[:3]))
    assert replies.endswith(b"\r\n") and going_on is None
    return codes


def smtp_server(data):
    given = Input(data)
    policy, eager, seed = options(given)
    stream = given.rest()
    driver = Driver(smtp.Session(product_policy(policy), product_client(policy), eager=eager), smtp, policy)
    driver.run(pieces(stream, seed))
    codes, accepted = smtp_codes(driver.replies), driver.accepted
    wanted_codes, wanted = models.smtp(stream, policy)
    if not eager and smtp.TOO_EARLY in driver.replies:
        assert codes[-1] == 503 and codes[:-1] == wanted_codes[:len(codes) - 1]
        assert accepted == wanted[:len(accepted)]
    else:
        assert codes == wanted_codes, (codes, wanted_codes)
        assert accepted == wanted, (accepted, wanted)


def queue_answer(data):
    """What a program in qmail-queue's place says on descriptor 6 reaches clients as one reply line."""
    given = Input(data)
    code, text = given.byte(), given.rest()[:queue.CUSTOM_TEXT]
    answer = queue.answer(code, text)
    assert len(answer) <= queue.CUSTOM_TEXT and b"\0" not in answer
    policy = models.Policy(relay=b"", check=None, accept=lambda number: answer)
    driver = Driver(smtp.Session(product_policy(policy), product_client(policy)), smtp, policy)
    driver.run([b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@a.example>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"])
    codes = smtp_codes(driver.replies)
    assert len(codes) == 7 and codes[-1] == 221, driver.replies
    assert codes[5] // 100 == {b"": 2, b"D": 5}.get(answer[:1], 4)


# ---------------------------------------------------------------- QMTP, QMQP

def qmtp_server(data):
    given = Input(data)
    policy, _, seed = options(given)
    stream = given.rest()
    driver = Driver(qmtp.QmtpSession(product_policy(policy), product_client(policy)), netstrings, policy)
    ended = driver.run(pieces(stream, seed))
    assert driver.session.status in (0, 100, 111) and (ended or not driver.session.status)
    letters, accepted = models.qmtp(stream, policy)
    assert driver.accepted == accepted, (driver.accepted, accepted)
    assert answers(driver.replies) == letters, (driver.replies, letters)


def qmqp_server(data):
    given = Input(data)
    policy, _, seed = options(given)
    stream = given.rest()
    driver = Driver(qmqp.QmqpSession(product_client(policy)), netstrings, policy)
    driver.run(pieces(stream, seed))
    assert driver.session.status in (0, 100, 111)
    letter, accepted = models.qmqp(stream, policy)
    assert driver.accepted == accepted and answers(driver.replies) == letter


def answers(replies):
    """The letters of answers, each a netstring."""
    letters = b""
    while replies:
        answer, replies = models.take(replies)
        assert answer[:1] in (b"K", b"Z", b"D")
        letters += answer[:1]
    return letters


def qmqp_packet(data):
    """A client's packet is what a server understands; any answer is K, Z, D or nothing."""
    given = Input(data)
    sender = given.line()[:990].replace(b"\0", b"")
    recipients = [given.line()[:990].replace(b"\0", b"") for _ in range(given.byte() % 5)]
    message = given.rest()
    before, after = qmqp.packet(message, sender, b"".join(map(netstring, recipients)))
    policy = models.Policy(relay=None, check=None, accept=lambda number: b"")
    driver = Driver(qmqp.QmqpSession(product_client(policy)), netstrings, policy)
    driver.run([before, message, after])
    assert driver.accepted == [(sender, recipients, message)]
    assert qmqp.verdict(driver.replies) == b"K"
    assert qmqp.verdict(message) in (b"", b"K", b"Z", b"D")


def netstring_input(data):
    """Input takes what the model takes, or raises what it documents."""
    given = Input(data)
    seed, stream = given.byte(), given.rest()
    parts, reader, found = iter(pieces(stream, seed)), NetstringInput(), []

    def work():
        while True:
            length = yield from reader.length()
            contents = yield from reader.take(length)
            yield from reader.comma()
            found.append(contents)
    try:
        for _ in work():
            part = next(parts, None)
            if part is None:
                break
            reader.feed(part)
    except (BadSyntax, TooLong):
        pass
    wanted = []
    try:
        while stream:
            contents, stream = models.take(stream)
            wanted.append(contents)
    except models.Ended:
        pass
    assert found == wanted


# ---------------------------------------------------------------- SMTP out

def smtp_replies(data):
    given = Input(data)
    seed, stream = given.byte(), given.rest()
    reader, found = client.ReplyReader(), []
    for part in pieces(stream, seed):
        reader.feed(part)
        while (reply := reader.next_reply()) is not None:
            found.append(reply)
    wanted = [(code, text[:client.REPLY_KEPT]) for code, text in models.smtp_replies(stream)]
    assert found == wanted, (found, wanted)


def smtp_client(data):
    """qmail-remote's dialogue with any server: its report is the model's; commands are whole lines; the text goes out
    after its DATA was answered only, and as it is."""
    given = Input(data)
    bits, seed, sender = given.byte(), given.byte(), given.line().replace(b"\0", b"")
    recipients = [given.line().replace(b"\0", b"") for _ in range(1 + bits % 3)]
    message = given.line().replace(b"~", b"\n") + b"\n"
    stream, extended = given.rest(), bool(bits & 4)
    peer = client.Peer(b"192.0.2.1", b"here.example", extended)
    session = client.Session(peer, sender, recipients, staying=lambda: bool(bits & 8))
    commands, text, parts = session.opening, None, iter(pieces(stream, seed))
    while session.wants is not client.NOTHING:
        if session.wants is client.MESSAGE:
            assert text is None
            text = session.body(message) + session.body_end()
            sent = session.proceed()
        else:
            sent = session.receive(next(parts, b""))
        commands += sent
    assert not models.STRAY.search(commands) and (commands.endswith(b"\r\n") or not commands)
    for line in commands.split(b"\r\n")[:-1]:
        assert line.startswith((b"HELO ", b"EHLO ", b"MAIL FROM:<", b"RCPT TO:<")) or line in (b"DATA", b"QUIT"), line
    assert text is None or models.unstuffed(text) == message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if session.stale:
        assert session.report == b"" and extended
        return
    letters = b"".join(record[:1] for record in session.report.split(b"\0")[:-1])
    wanted, pipelining = models.delivery(stream, sender, recipients, extended)
    assert session.report.endswith(b"\0")
    out_of_step = pipelining and letters[-1:] == b"Z" and wanted.startswith(letters[:-1])
    assert letters == wanted or out_of_step, (letters, wanted)
    assert (b"K" in letters) <= (text is not None)
    if reports.summary(session.report)[:1] == b"K":
        assert letters[:1] == b"r" and letters[-1:] == b"K"


def smtp_text(data):
    """What goes out after DATA is what comes in, line ends made LF, and nothing in it looks like its end."""
    given = Input(data)
    seed, message = given.byte(), given.rest()
    writer = DataWriter()
    stream = b"".join(writer.feed(part) for part in pieces(message, seed))
    lines = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        stream += writer.finish()
    except PartialLine:
        assert lines and not lines.endswith(b"\n")
        return
    assert not lines or lines.endswith(b"\n")
    assert models.unstuffed(stream) == lines
    policy = models.Policy(relay=b"", check=None, accept=lambda number: b"")
    commands = b"MAIL FROM:<>\r\nRCPT TO:<a@a.example>\r\nDATA\r\n"
    assert models.smtp(commands + stream, policy)[1] == [(b"", [b"a@a.example"], lines)]
    driver = Driver(smtp.Session(product_policy(policy), product_client(policy)), smtp, policy)
    driver.run(pieces(commands + stream, seed))
    assert driver.accepted == [(b"", [b"a@a.example"], lines)]


# ---------------------------------------------------------------- POP3

def pop3_login(data):
    """USER, PASS, APOP: one line for each command; what is handed on has been said, and holds no NUL."""
    given = Input(data)
    seed, stream = given.byte(), given.rest()
    state, reader, replies = pop3.Authorization(b"<1.2@here.example>"), pop3_wire.CommandReader(), b""
    for part in pieces(stream, seed):
        reader.feed(part)
        for command in reader:
            reply = state.reply(command)
            assert reply.startswith((b"+OK", b"-ERR")) and reply.count(b"\n") == 1 or not reply and state.login
            replies += reply
            if state.login or state.over:
                break
        if state.login or state.over:
            break
    assert all(32 <= byte <= 126 or byte in b"\r\n" for byte in replies)
    if state.login:
        assert all(b"\0" not in part and b"\n" not in part and part in stream for part in state.login)


class Maildrop:
    """Three messages, made of the input; one that cannot be opened."""

    def __init__(self, messages):
        self.messages = messages
        self.sizes, self.names = [len(each) for each in messages], [b"1.a", b"2.b", b"3.c", b"4.d"]
        self.removed = None

    def open(self, index):
        if index == 3:
            raise OSError(5, "input/output error")
        text = self.messages[index]
        return iter([text[at:at + 7] for at in range(0, len(text), 7)])

    def update(self, deleted):
        assert self.removed is None
        self.removed = set(deleted)
        return 0


def pop3_session(data):
    """Every reply is one a client can read; texts come out as they were; only QUIT removes, and what DELE named."""
    given = Input(data)
    seed = given.byte()
    messages = [given.line().replace(b"~", b"\n") for _ in range(3)] + [b""]
    stream = given.rest()
    drop = Maildrop(messages)
    state, reader, deleted = pop3.Transaction(drop), pop3_wire.CommandReader(), set()
    for part in pieces(stream, seed):
        reader.feed(part)
        for command in reader:
            if state.over:
                break
            before = set(state.deleted)
            reply = b"".join(state.reply(command))
            first, _, rest = reply.partition(b"\r\n")
            assert first.startswith((b"+OK", b"-ERR")) and all(32 <= byte <= 126 for byte in first)
            keyword, argument = command if command is not pop3_wire.TOO_LONG else (b"", b"")
            if keyword == b"dele" and first.startswith(b"+OK"):
                deleted |= state.deleted - before
                assert len(state.deleted) == len(before) + 1
            elif keyword == b"rset":
                deleted = set()
            if first.startswith(b"+OK") and keyword in (b"retr", b"top"):
                pop3_text(messages, argument, rest, state.deleted)
            elif first.startswith(b"+OK") and keyword in (b"list", b"uidl") and not argument:
                lines = rest.split(b"\r\n")
                assert lines[-2:] == [b".", b""] and len(lines) - 2 == 4 - len(state.deleted)
            else:
                assert not rest, reply
            assert state.deleted == deleted
    assert drop.removed == (deleted if state.over else None)


def pop3_text(messages, argument, stream, deleted):
    words = argument.split(b" ", 1)
    digits = words[0][:len(words[0]) - len(words[0].lstrip(b"0123456789"))]
    index = int(digits) - 1
    assert index not in deleted
    lines = stream.split(b"\r\n")
    assert stream.endswith(b"\r\n.\r\n") and b"." not in lines[:-2]
    text = b"\n".join(line.removeprefix(b".") for line in lines[:-2])
    whole = messages[index]
    whole += b"" if whole.endswith(b"\n") or not whole else b"\n"
    assert whole.startswith(text.removesuffix(b"\n")) or text == whole, (text, whole)
    if argument == digits:
        assert text == whole, (text, whole)
