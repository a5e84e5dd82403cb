"""A session that takes no mail: what rblsmtpd says to a client for whom RBLSMTPD is set.

RBLSMTPD="text" refuses with 451, RBLSMTPD="-text" with 553. The client may introduce itself and
name a sender; everything else is answered with the text, so that the log at the other end has it.
Same interface as session.Session; it never opens a queue. Source: rblsmtpd(1).
"""
from . import session as smtp
from .commands import CommandReader

NAME = b"rblsmtpd.local"
LONGEST = 200                       # bytes of the text
ACCEPTED = frozenset((b"helo", b"ehlo", b"mail", b"rset", b"noop"))
PRINTABLE = bytes(byte if 32 <= byte <= 126 else 0x3F for byte in range(256))


class RefusingSession:
    in_message = False
    refusal = None

    def __init__(self, text):
        code, text = (b"553 ", text[1:]) if text.startswith(b"-") else (b"451 ", text)
        self._reply = code + text[:LONGEST].translate(PRINTABLE) + b"\r\n"
        self._commands, self.closed, self.status = CommandReader(), False, 0
        self.replies = bytearray(b"220 %b\r\n" % NAME)

    def feed(self, piece):
        self._commands.feed(piece)

    def next_event(self):
        while not self.closed:
            if len(self.replies) > smtp.REPLIES:
                return smtp.FLUSH
            command = self._commands.next_command()
            if command is None:
                return smtp.NEED_DATA
            verb, _ = command
            if verb == b"quit":
                self.replies += b"221 %b\r\n" % NAME
                self.closed = True
            else:
                self.replies += b"250 %b\r\n" % NAME if verb in ACCEPTED else self._reply
        return smtp.CLOSE

    def close(self, reply):
        self.replies += reply
        self.status, self.closed = 1, True
