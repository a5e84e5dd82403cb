"""qmail-remote's dialogue with an SMTP server, without a socket or a clock.

Send `opening`, feed what the server sent, send what comes back, and look at `wants` for what is next:

    READ        receive(data) with the server's next bytes, b"" at end of file
    MESSAGE     the server waits for the text: body(block) …, body_end(), proceed(); each gives bytes to send
    NOTHING     the dialogue is over; close the connection, unless it `stays`

`report` grows to qmail-remote's output. HELO, never EHLO; each command waits for the reply to the one
before; after the last word QUIT, whose reply nobody waits for. What the server says is data: of a
reply REPLY_KEPT bytes are kept, and one of more than REPLY_MAX bytes is treated as a dead
connection, for the next byte may never be its last.

qmail-rspawn has more to say to one server, and two things are different there:

- A connection may carry one message after the other. One that fails on a connection that was kept, before the
  server can have all of it, is `stale`: nothing is decided, it begins anew on a fresh connection, as qmail-remote.
- A server that is greeted with EHLO and offers PIPELINING (RFC 2920) gets up to WINDOW commands at once. The
  replies are read one for one all the same, and no byte of a message is sent before its own DATA is answered. A
  server that says more than it was asked is out of step: its next words would be taken for the wrong answer.

Source: RFC 5321, RFC 2920; replies are judged as qmail-remote does (first line's code, 2xx and 3xx alike).
"""
from ..base.address import quote
from . import reports
from .data_writer import DataWriter, PartialLine

READ, MESSAGE, NOTHING = "READ", "MESSAGE", "NOTHING"
REPLY_KEPT = 5000                   # bytes of a reply that are reported
REPLY_MAX = 1 << 20                 # bytes of a reply that are read
WINDOW = 100                        # commands on their way at once; all their replies fit into any TCP buffer
CLOSING = 421                       # the server's last word on this connection (RFC 5321 3.8)
HYPHEN = b"-"[0]
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

    @property
    def ahead(self):
        """True if something has come that no reply has been made of."""
        return bool(self._waiting) or self._within

    @property
    def _within(self):
        return bool(self._head) or self._code is not None

    def next_reply(self):
        if not self._within:
            end = self._waiting.find(b"\n") + 1
            if 4 < end <= REPLY_KEPT and self._waiting[3] != HYPHEN:        # nearly always: one line, all here
                line = bytes(self._waiting[:end])
                del self._waiting[:end]
                return code(line), line.replace(b"\r", b"").replace(b"\0", b"?")
        return self._next_of_pieces()

    def _next_of_pieces(self):
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


class Peer:
    """The server at the other end of one connection, through all its dialogues. extended: greet it with EHLO."""

    __slots__ = ("address", "helo", "extended", "pipelining", "messages", "replies")

    def __init__(self, address, helo, extended=False):
        self.address, self.helo, self.extended = address, helo, extended
        self.pipelining, self.messages, self.replies = False, 0, ReplyReader()


class Session:
    """One dialogue: one message to any number of recipients.

    peer: the server, greeted already if it has taken messages on this connection. sender, recipients:
    envelope addresses as they are in the queue. staying(): asked once the message is accepted, True to keep the
    connection.
    """

    def __init__(self, peer, sender, recipients, staying=lambda: False):
        self._peer, self._sender, self._recipients, self._staying = peer, sender, recipients, staying
        self._writer, self._critical, self._decided = DataWriter(), False, None
        self._kept = self._doubtful = peer.messages > 0     # doubtful: an end now says nothing about the message
        self._commands, self._sent, self._answered = [], 0, 0
        self.report = b""
        self.wants, self.stays, self.stale = READ, False, False
        self._steps = self._dialogue()
        self.opening = next(self._steps) or b""

    def receive(self, data):
        """Bytes to send after these bytes of the server; b"" while its reply is unfinished."""
        if not data:
            self.lost()
        self._peer.replies.feed(data)
        return self.proceed()

    def proceed(self):
        """Bytes to send for replies that are here already: a server may have answered the message before its
        end was sent, and that answer counts only afterwards."""
        sent = b""
        while self.wants is READ:
            try:
                reply = self._peer.replies.next_reply()
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
        if self._doubtful and not self._critical and not self._decided:
            self._begin_anew()
        else:
            self._over(self._decided or reports.died(self._peer.address, self._critical))

    def unreadable(self):
        """The message cannot be read any further; the server must not take what it has for all of it."""
        self._over(reports.NO_MESSAGE)

    def _over(self, text):
        if self.wants is not NOTHING:
            self.report += text + b"\0"
            self.wants = NOTHING

    def _begin_anew(self):
        if self.wants is not NOTHING:
            self.report, self.wants, self.stale = b"", NOTHING, True

    def _last_word(self, letter, before, after, text):
        return b"%b%b%b%b.\n%b" % (letter, before, self._peer.address, after, said(text))

    def _quit(self, letter, before, after, text):
        self._over(self._last_word(letter, before, after, text))
        return b"QUIT\r\n"

    def _dialogue(self):
        """The whole dialogue in its order; is sent (code, text) for each reply, yields bytes to send."""
        if not self._kept:
            yield from self._greeting()
        if line_end_in(self._sender):
            self._over(reports.LINE_END_IN_ADDRESS)
            yield b"QUIT\r\n"
        wanted = [recipient for recipient in self._recipients if not line_end_in(recipient)]
        self._commands = [b"MAIL FROM:<%b>\r\n" % envelope(self._sender),
                          *(b"RCPT TO:<%b>\r\n" % envelope(recipient) for recipient in wanted), b"DATA\r\n"]
        number, text = yield from self._answer(0)
        if number >= 400:
            if self._kept:          # perhaps it has had enough messages of this connection
                yield self._anew()
            yield from self._refused(verdict(number), b"Connected to ", b" but sender was rejected", text)
        accepted, at = False, 0
        for recipient in self._recipients:
            if line_end_in(recipient):
                self.report += b"h" + reports.LINE_END_IN_ADDRESS[1:] + b"\0"
                continue
            at += 1
            number, text = yield from self._answer(at)
            if number >= 400:
                if self._kept and number == CLOSING:
                    yield self._anew()
                letter = b"h" if number >= 500 else b"s"
                self.report += b"%b%b does not like recipient.\n%b\0" % (letter, self._peer.address, said(text))
            else:
                self.report += b"r\0"
                accepted = True
        if not accepted:
            yield from self._refused(b"D", b"Giving up on ", b"", b"")
        number, text = yield from self._answer(at + 1)
        if number >= 400:
            if self._kept and number == CLOSING:
                yield self._anew()
            yield self._quit(verdict(number), b"", b" failed on DATA command", text)
        if self._peer.pipelining and self._peer.replies.ahead:
            self.lost()             # out of step
            yield b""
        self.wants = MESSAGE
        number, text = yield
        self._critical = False
        if number >= 400:
            yield self._quit(verdict(number), b"", b" failed after I sent the message", text)
        self._peer.messages += 1
        if self._staying() and not self._peer.replies.ahead:
            self._over(self._last_word(b"K", b"", b" accepted message", text))
            self.stays = True
            yield b""
        yield self._quit(b"K", b"", b" accepted message", text)

    def _greeting(self):
        number, text = yield
        if number != 220:
            yield self._quit(b"Z", b"Connected to ", b" but greeting failed", text)
        if self._peer.extended:
            self._doubtful = True   # a server of long ago may hang up where others say that they know no EHLO
            number, text = yield b"EHLO %b\r\n" % self._peer.helo
            self._doubtful = False
            self._peer.pipelining = number == 250 and offers(text, b"PIPELINING")
        if not self._peer.extended or number not in (250, CLOSING):
            number, text = yield b"HELO %b\r\n" % self._peer.helo
        if number != 250:
            yield self._quit(b"Z", b"Connected to ", b" but my name was rejected", text)

    def _answer(self, index):
        """(code, text) of the reply to command `index`; sends it, if it is not on its way already."""
        batch = b""
        if index >= self._sent:
            self._sent = min(index + (WINDOW if self._peer.pipelining else 1), len(self._commands))
            batch = b"".join(self._commands[index:self._sent])
            self._answered = index
        reply = yield batch
        self._answered = index + 1
        return reply

    def _refused(self, letter, before, after, text):
        """The end of a dialogue without a message. Commands that are on their way already are heard out: after
        their DATA a server may wait for a text, and QUIT would be taken for one."""
        self._decided = self._last_word(letter, before, after, text)
        number = 500
        while self._answered < self._sent:
            number, _ = yield from self._answer(self._answered)
        self._over(self._decided)
        yield b"" if number < 400 and self._sent == len(self._commands) else b"QUIT\r\n"

    def _anew(self):
        self._begin_anew()
        return b""


def offers(text, keyword):
    """True if the reply to EHLO has this keyword, which is in capitals (RFC 5321 4.1.1.1)."""
    return any(line[4:].split(b" ")[0].upper() == keyword for line in text.split(b"\n")[1:])


def line_end_in(address):
    """True if an address would become more than one line: RFC 5321 has no way to quote that."""
    return b"\n" in address or b"\r" in address


def verdict(number):
    return b"D" if number >= 500 else b"Z"


def said(text):
    return b"Remote host said: " + text if text else b""
