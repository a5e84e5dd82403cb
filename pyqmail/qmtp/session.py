"""What the server sides of QMTP and QMQP have in common: a session without socket, clock or queue.

    session.feed(bytes from the client)
    event = session.next_event()

Events: NEED_DATA (feed more), FLUSH (send `replies`, then go on), CHECK (ask rcptcheck about `questions`, addresses
and size, and put the answers into `answers`), OPEN (open the queue, then call
queue_opened, whose result is the first of the message, or queue_failed), bytes (text of the message for
the queue), END (the text is complete: submit it with `sender` and `recipients`, or break off if `refused`
is set, then call answered), CLOSE (send `replies`, close, exit with `status`). Send `replies` also
before waiting for data.

What must stay true: a client hears K only after answered(b""), and a message is submitted only when its
packet is complete.
"""
from ..base.errors import Temporary
from ..base.received import received
from .wire import NEED_DATA, BadSyntax, Input, TooLong

FLUSH, CHECK, OPEN, END, CLOSE = "flush", "check", "open", "end", "close"
REPLIES = 16_384                    # bytes of replies that gather before FLUSH
ADDRESS = 1000                      # bytes that an address must be shorter than
BAD_SYNTAX, RESOURCES = 100, 111    # exit codes


class Session:
    """A subclass has `protocol`, the word for the Received line, and script(), a generator of events."""

    def __init__(self, client, left=None):
        self.client, self.input = client, Input(left)
        self.replies, self.status, self.closed = bytearray(), 0, False
        self.sender, self.recipients, self.refused = b"", [], False
        self.answer, self.questions, self.answers = b"", ([], 0), []
        self._script = self.script()

    # what the driver calls

    def feed(self, data):
        self.input.feed(data)

    def next_event(self):
        if len(self.replies) > REPLIES:
            return FLUSH
        if not self.closed:
            try:
                return next(self._script)
            except StopIteration:
                self.closed = True
            except BadSyntax:
                self.close(BAD_SYNTAX)
            except (TooLong, Temporary, MemoryError):
                self.close(RESOURCES)
        return CLOSE

    def queue_opened(self, now):
        """The queue takes the message, whose first bytes are returned: the Received line."""
        return received(self.protocol, self.client, None, now)

    def queue_failed(self):
        self.close(RESOURCES)

    def answered(self, answer, qp, now):
        """The queue's answer to the message that ended: b"", b"D…" or b"Z…"."""
        self.answer = answer or b"Kok %d qp %d" % (now, qp)

    def close(self, status):
        self.status, self.closed = status, True

    # for the scripts

    def text(self, length, convert=lambda piece: piece):
        """The events of `length` bytes of message, each piece as convert() has it."""
        while length:
            piece = self.input.some(length)
            if piece:
                length -= len(piece)
                yield convert(piece)
            else:
                yield NEED_DATA
