"""The server's side of QMTP: packets of message, sender and recipients; one answer a recipient.

Recipients of hosts that are not in rcpthosts, that have no mailbox, or that cannot be handled, are refused one by
one, the message goes to the others. What there can be of everything: Policy and the limits below.
Source: cr.yp.to/proto/qmtp.txt; qmail-qmtpd as recorded.
"""
from ..base import control
from ..base.rcpthosts import Rcpthosts
from .session import ADDRESS, CHECK, END, FLUSH, OPEN, REPLIES, Session
from .wire import NEED_DATA, BadSyntax, TooLong, netstring

RECIPIENTS = 10_000                 # of one message, as for SMTP
UNKNOWN = 20                        # unknown recipients until a client is sent away, as for SMTP
ENVELOPE = 16 << 20                 # bytes of a recipient list: more than so many recipients can need
FILES = ("me", "rcpthosts", "morercpthosts.cdb", "databytes", "maxrecipients", "rcptcheck", "maxunknown")
LF, CR = b"\n", b"\r"

UNACCEPTABLE = b"Dunacceptable sender (#5.1.7)"
TOO_BIG = b"Dsorry, that message size exceeds my databytes limit (#5.3.4)"
ACCEPTED, NOT_HERE, CANNOT, TOO_MANY, NO_MAILBOX, NO_ROOM, UNCHECKED = b"KDLMUQZ"
REFUSALS = {
    NOT_HERE: netstring(b"Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    CANNOT: netstring(b"Dsorry, I can't handle that recipient (#5.1.3)"),
    TOO_MANY: netstring(b"Ztoo many recipients (#4.5.3)"),
    NO_MAILBOX: netstring(b"Dsorry, no mailbox here by that name (#5.1.1)"),
    NO_ROOM: netstring(b"Dsorry, that mailbox has no room for your message (#5.2.2)"),
    UNCHECKED: netstring(b"Zsorry, I can't tell now whether that mailbox exists (#4.3.0)"),
}


class Policy:
    """The control files. Raises Temporary if one cannot be read."""

    def __init__(self):
        control.line("me")          # none is needed, but one that cannot be read is a sign of trouble
        self.rcpthosts = Rcpthosts("qmail-qmtpd")
        self.databytes = control.number("databytes", 0)
        self.recipients = control.number("maxrecipients", RECIPIENTS)
        self.check = control.number("rcptcheck", 0) > 0
        self.unknown = control.number("maxunknown", UNKNOWN) if self.check else 0


class CrLf:
    """CR LF pairs become LF; other CR and LF stay. A CR at the end of a piece waits for the next one."""

    def __init__(self):
        self._held = b""

    def __call__(self, piece):
        piece = self._held + piece
        self._held = CR if piece.endswith(CR) else b""
        return piece[:len(piece) - len(self._held)].replace(b"\r\n", b"\n")

    def rest(self):
        return self._held


class QmtpSession(Session):
    protocol = b"QMTP"

    def __init__(self, policy, client):
        super().__init__(client)
        self._policy = policy
        self._limit = policy.databytes if client.databytes is None else client.databytes
        self._size, self._unknown = 0, 0

    def script(self):
        while True:
            self.sender, self.recipients, self.refused = b"", [], False
            too_big = yield from self._message()
            sender_ok = yield from self._sender()
            verdicts = yield from self._recipients()
            if self._policy.check and not too_big and sender_ok:
                yield from self._mailboxes(verdicts)
            self.refused = too_big or not sender_ok or not self.recipients
            yield END
            answer = TOO_BIG if too_big else self.answer if sender_ok else UNACCEPTABLE
            for verdict in verdicts:
                self.replies += REFUSALS.get(verdict) or netstring(answer)
                if len(self.replies) > REPLIES:
                    yield FLUSH
            self._unknown += verdicts.count(NO_MAILBOX)
            if 0 < self._policy.unknown <= self._unknown:
                return                          # whoever tries names is sent away

    def _message(self):
        """The first netstring. Returns True if it is too big."""
        length = yield from self.input.length()
        if not length:
            raise BadSyntax
        yield OPEN
        mode = yield from self.input.byte()
        if mode not in (LF, CR):
            raise BadSyntax
        size, convert = 0, CrLf()
        for event in self.text(length - 1, convert if mode == CR else lambda piece: piece):
            if event is NEED_DATA:
                yield event
            elif event:
                size += len(event)
                if not self._limit or size <= self._limit:
                    yield event
        self._size = size + len(convert.rest())
        if rest := convert.rest():
            size += len(rest)
            if not self._limit or size <= self._limit:
                yield rest
        yield from self.input.comma()
        return bool(self._limit) and size > self._limit

    def _sender(self):
        """The second netstring. Returns False if it is unacceptable."""
        length = yield from self.input.length()
        if length >= ADDRESS:
            yield from self.input.skip(length)
        else:
            self.sender = yield from self.input.take(length)
        yield from self.input.comma()
        return length < ADDRESS and b"\0" not in self.sender

    def _recipients(self):
        """The third netstring. Returns one letter a recipient, as bytes."""
        self.input.left = yield from self.input.length()
        if self.input.left > ENVELOPE:
            raise TooLong
        verdicts = bytearray()
        while self.input.left:
            length = yield from self.input.length()
            if length >= self.input.left:
                raise BadSyntax
            verdicts.append((yield from self._recipient(length)))
            yield from self.input.comma()
        self.input.left = None
        yield from self.input.comma()
        return verdicts

    def _mailboxes(self, verdicts):
        """Ask whether those who were accepted have a mailbox with room for this message; who has none gets his
        letter."""
        from ..rcptcheck import wire            # only where recipients are checked
        places = [place for place, verdict in enumerate(verdicts) if verdict == ACCEPTED]
        asked, self.recipients = self.recipients, []
        for start in range(0, len(asked), wire.BATCH):
            some = asked[start:start + wire.BATCH]
            answers = yield from self._ask(some, 0)
            tight = [place for place, answer in enumerate(answers) if wire.tight(answer, self._size)]
            if tight:
                again = yield from self._ask([some[place] for place in tight], self._size)
                for place, answer in zip(tight, again):
                    answers[place] = answer
            for place, recipient, answer in zip(places[start:], some, answers):
                if answer.startswith(wire.KNOWN):
                    self.recipients.append(recipient)
                else:
                    verdicts[place] = answer[0]

    def _ask(self, recipients, size):
        self.questions = recipients, size
        yield CHECK
        return self.answers

    def _recipient(self, length):
        """Take one recipient of this length; returns its letter."""
        added = self.client.relayclient
        if length + len(added or b"") >= ADDRESS:
            yield from self.input.skip(length)
            return CANNOT
        recipient = yield from self.input.take(length)
        if added is None and not self._policy.rcpthosts.allows(recipient):
            return NOT_HERE
        if b"\0" in recipient:
            return CANNOT
        if len(self.recipients) >= self._policy.recipients:
            return TOO_MANY
        self.recipients.append(recipient + (added or b""))
        return ACCEPTED
