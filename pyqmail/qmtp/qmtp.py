"""The server's side of QMTP: packets of message, sender and recipients; one answer a recipient.

Recipients of hosts that are not in rcpthosts, or that cannot be handled, are refused one by one, the
message goes to the others. What there can be of everything: Policy and the limits below.
Source: cr.yp.to/proto/qmtp.txt; qmail-qmtpd as recorded.
"""
from ..base import control
from ..base.rcpthosts import Rcpthosts
from .session import ADDRESS, END, FLUSH, OPEN, REPLIES, Session
from .wire import NEED_DATA, BadSyntax, TooLong, netstring

RECIPIENTS = 10_000                 # of one message, as for SMTP
ENVELOPE = 16 << 20                 # bytes of a recipient list: more than so many recipients can need
FILES = ("me", "rcpthosts", "morercpthosts.cdb", "databytes", "maxrecipients")
LF, CR = b"\n", b"\r"

UNACCEPTABLE = b"Dunacceptable sender (#5.1.7)"
TOO_BIG = b"Dsorry, that message size exceeds my databytes limit (#5.3.4)"
ACCEPTED, NOT_HERE, CANNOT, TOO_MANY = b"KDLM"
REFUSALS = {
    NOT_HERE: netstring(b"Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    CANNOT: netstring(b"Dsorry, I can't handle that recipient (#5.1.3)"),
    TOO_MANY: netstring(b"Ztoo many recipients (#4.5.3)"),
}


class Policy:
    """The control files. Raises Temporary if one cannot be read."""

    def __init__(self):
        control.line("me")          # none is needed, but one that cannot be read is a sign of trouble
        self.rcpthosts = Rcpthosts("qmail-qmtpd")
        self.databytes = control.number("databytes", 0)
        self.recipients = control.number("maxrecipients", RECIPIENTS)


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

    def script(self):
        while True:
            self.sender, self.recipients, self.refused = b"", [], False
            too_big = yield from self._message()
            sender_ok = yield from self._sender()
            verdicts = yield from self._recipients()
            self.refused = too_big or not sender_ok or not self.recipients
            yield END
            answer = TOO_BIG if too_big else self.answer if sender_ok else UNACCEPTABLE
            for verdict in verdicts:
                self.replies += REFUSALS.get(verdict) or netstring(answer)
                if len(self.replies) > REPLIES:
                    yield FLUSH

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
