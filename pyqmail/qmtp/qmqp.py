"""QMQP: one packet, the envelope and the message of what a client's qmail-queue was given; one answer.

Both ends. The server checks no recipients and no size: who may connect decides everything.
Source: cr.yp.to/proto/qmqp.html; qmail-qmqpd and qmail-qmqpc as recorded.
"""
from .session import ADDRESS, END, OPEN, Session
from .wire import LONGEST, TooLong, netstring

PORT = 628
START = 100                         # bytes that the length of the packet may take
RECIPIENTS = 1_000_000              # of one message: what a server holds in memory until the packet is complete
BAD_ADDRESS = b"Dsorry, I can't accept addresses like that (#5.1.3)"
LETTERS = b"KZD"


class QmqpSession(Session):
    """The server's side (see session.py)."""
    protocol = b"QMQP"

    def __init__(self, client):
        super().__init__(client, START)

    def script(self):
        self.input.left = yield from self.input.length()
        length = yield from self.input.length()
        yield OPEN
        yield from self.text(length)
        yield from self.input.comma()
        sender = yield from self._address()
        while self.input.left:
            recipient = yield from self._address()
            if recipient is not None:
                if len(self.recipients) >= RECIPIENTS:
                    raise TooLong
                self.recipients.append(recipient)
        self.input.left = 1
        yield from self.input.comma()
        self.sender = sender or b""
        yield END
        self.replies += netstring(BAD_ADDRESS if self.refused else self.answer)

    def _address(self):
        """The next address; None, and the packet is refused, if it cannot be one."""
        length = yield from self.input.length()
        if length >= ADDRESS:
            yield from self.input.skip(length)
            address = None
        else:
            address = yield from self.input.take(length)
        yield from self.input.comma()
        if address is None or b"\0" in address:
            self.refused = True
            return None
        return address


def packet(message, sender, recipients):
    """(before, after): what a client sends before and after the message. Raises TooLong if no server
    would take it. recipients: bytes, the netstrings of all recipients."""
    before, after = b"%d:" % len(message), b"," + netstring(sender) + recipients
    length = len(before) + len(message) + len(after)
    if length > LONGEST:
        raise TooLong
    return b"%d:%b" % (length, before), after + b","


def verdict(data):
    """The letter of a server's answer: the first K, Z or D among these bytes, b"" if there is none yet."""
    return next((bytes((byte,)) for byte in data if byte in LETTERS), b"")
