"""qmail-remote's dialogue with an SMTP server, without a socket or a clock.

Feed what the server sent, send what comes back, and look at `wants` for what is next:

    READ        receive(data) with the server's next bytes, b"" at end of file
    MESSAGE     the server waits for the text: body(block) …, body_end(), proceed(); each gives bytes to send
    NOTHING     the dialogue is over; close the connection

`report` grows to qmail-remote's output. HELO, never EHLO; each command waits for the reply to the one
before; after the last word QUIT, whose reply nobody waits for. What the server says is data: of a
reply REPLY_KEPT bytes are kept, and one of more than REPLY_MAX bytes is treated as a dead
connection, for the next byte may never be its last.
Source: RFC 5321; replies are judged as qmail-remote does (first line's code, 2xx and 3xx alike).
"""
from ..base.address import quote
from . import reports
from .data_writer import DataWriter, PartialLine

READ, MESSAGE, NOTHING = "READ", "MESSAGE", "NOTHING"
REPLY_KEPT = 5000                   # bytes of a reply that are reported
REPLY_MAX = 1 << 20                 # bytes of a reply that are read
WORD = 1 << 64                      # codes are computed in an unsigned long, also those that are no numbers


class EndlessReply(Exception):
    """A reply went beyond REPLY_MAX bytes."""


class ReplyReader:
    """feed(data), then next_reply() gives (code, text) or None. Bytes behind a reply belong to the next.

    code is what qmail computes from the first three bytes: 0 to 999 for digits, 500 or more for nearly
    everything else. text is all lines, each ended by LF, without CR, cut at REPLY_KEPT bytes; NUL
    shows as "?". Raises EndlessReply.
    """

    def __init__(self):
        self._waiting = bytearray()
        self._begin()

    def _begin(self):
        self._head, self._code, self._text, self._taken = b"", None, bytearray(), 0

    def feed(self, data):
        self._waiting += data

    def next_reply(self):
        while self._waiting:
            if len(self._head) < 4:                     # three digits and "-" or " ", whatever they are
                self._head += self._take(4 - len(self._head))
                if len(self._head) < 4:
                    return None
                if self._code is None:
                    self._code = code(self._head)
                ended = self._head[3:] == b"\n"
            else:
                end = self._waiting.find(b"\n") + 1
                self._take(end or len(self._waiting))
                ended = end > 0
            if ended and self._head[3:] == b"-":
                self._head = b""
            elif ended:
                reply = self._code, bytes(self._text).replace(b"\0", b"?")
                self._begin()
                return reply
        return None

    def _take(self, length):
        """The next bytes, removed from what waits and added to the text."""
        piece = bytes(self._waiting[:length])
        del self._waiting[:length]
        self._taken += len(piece)
        if self._taken > REPLY_MAX:
            raise EndlessReply
        self._text += piece.replace(b"\r", b"")[:REPLY_KEPT - len(self._text)]
        return piece


def code(head):
    """The number of a reply: three bytes minus 48 each, as an unsigned long."""
    return ((head[0] - 48) * 100 + (head[1] - 48) * 10 + head[2] - 48) % WORD


def envelope(address):
    """An address as MAIL and RCPT carry it: the box quoted if it must be; without "@" as it is."""
    return quote(address) if b"@" in address else address


class Session:
    """One dialogue: one message to any number of recipients.

    address: the server's, for the report. helo: our name. sender, recipients: envelope addresses as
    they are in the queue.
    """

    def __init__(self, address, helo, sender, recipients):
        self._address, self._helo, self._sender, self._recipients = address, helo, sender, recipients
        self._replies, self._writer = ReplyReader(), DataWriter()
        self._critical = False
        self.report = b""
        self.wants = READ
        self._steps = self._dialogue()
        next(self._steps)

    def receive(self, data):
        """Bytes to send after these bytes of the server; b"" while its reply is unfinished."""
        if not data:
            self.lost()
        self._replies.feed(data)
        return self.proceed()

    def proceed(self):
        """Bytes to send for replies that are here already: a server may have answered the message before its
        end was sent, and that answer counts only afterwards."""
        sent = b""
        while self.wants is READ:
            try:
                reply = self._replies.next_reply()
            except EndlessReply:
                self.lost()
                break
            if reply is None:
                break
            sent += self._steps.send(reply) or b""
        return sent

    def body(self, block):
        """Bytes to send for the next block of the message."""
        return self._writer.feed(block)

    def body_end(self):
        """Bytes to send at the end of the message; b"" and the dialogue is over if its last line is partial."""
        try:
            rest = self._writer.finish()
        except PartialLine:
            self._over(reports.PARTIAL_LINE)
            return b""
        self._critical = True       # from here on the server may have the message even if we never hear so
        self.wants = READ
        return rest

    def lost(self):
        """The connection is dead: closed, broken, or silent for too long."""
        self._over(reports.died(self._address, self._critical))

    def unreadable(self):
        """The message cannot be read any further; the server must not take what it has for all of it."""
        self._over(reports.NO_MESSAGE)

    def _over(self, text):
        if self.wants is not NOTHING:
            self.report += text + b"\0"
            self.wants = NOTHING

    def _quit(self, letter, before, after, text):
        self._over(b"%b%b%b%b.\n%b" % (letter, before, self._address, after, said(text)))
        return b"QUIT\r\n"

    def _dialogue(self):
        """The whole dialogue in its order; is sent (code, text) for each reply, yields bytes to send."""
        number, text = yield
        if number != 220:
            yield self._quit(b"Z", b"Connected to ", b" but greeting failed", text)
        number, text = yield b"HELO %b\r\n" % self._helo
        if number != 250:
            yield self._quit(b"Z", b"Connected to ", b" but my name was rejected", text)
        if line_end_in(self._sender):
            self._over(reports.LINE_END_IN_ADDRESS)
            yield b"QUIT\r\n"
        number, text = yield b"MAIL FROM:<%b>\r\n" % envelope(self._sender)
        if number >= 400:
            yield self._quit(verdict(number), b"Connected to ", b" but sender was rejected", text)
        accepted = False
        for recipient in self._recipients:
            if line_end_in(recipient):
                self.report += b"h" + reports.LINE_END_IN_ADDRESS[1:] + b"\0"
                continue
            number, text = yield b"RCPT TO:<%b>\r\n" % envelope(recipient)
            if number >= 400:
                letter = b"h" if number >= 500 else b"s"
                self.report += b"%b%b does not like recipient.\n%b\0" % (letter, self._address, said(text))
            else:
                self.report += b"r\0"
                accepted = True
        if not accepted:
            yield self._quit(b"D", b"Giving up on ", b"", b"")
        number, text = yield b"DATA\r\n"
        if number >= 400:
            yield self._quit(verdict(number), b"", b" failed on DATA command", text)
        self.wants = MESSAGE
        number, text = yield
        self._critical = False
        if number >= 400:
            yield self._quit(verdict(number), b"", b" failed after I sent the message", text)
        yield self._quit(b"K", b"", b" accepted message", text)


def line_end_in(address):
    """True if an address would become more than one line: RFC 5321 has no way to quote that."""
    return b"\n" in address or b"\r" in address


def verdict(number):
    return b"D" if number >= 500 else b"Z"


def said(text):
    return b"Remote host said: " + text if text else b""
