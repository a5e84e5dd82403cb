"""qmail-smtpd's side of SMTP, without a socket, a clock or a queue.

    session = Session(policy, client)
    session.feed(bytes from the client)
    event = session.next_event()

Events: NEED_DATA (feed more), FLUSH (send the replies, then go on), CHECK (ask about questions(), then call
checked), OPEN (open the queue, then call queue_opened or queue_failed), bytes (text of the message for
the queue), END (the text is complete: submit it, or break off if `refusal` is set, then call answered),
CLOSE (send the replies, close, exit with `status`). Replies gather in `replies`; send them before
waiting for anything.

What must stay true: the client hears 250 only after answered(b""); every list here has a limit; no
byte that came before the reply to DATA is both text and command.
"""
from ..base.errors import Temporary
from ..base.received import received
from . import data, grammar
from .commands import CommandReader
from .policy import ENVELOPE

NEED_DATA, FLUSH, CHECK, OPEN, END, CLOSE = "need data", "flush", "check", "open", "end", "close"
REPLIES = 16_384                    # bytes of replies that gather before FLUSH
NO_LIMIT = 1 << 62                  # bytes of room in a mailbox without quota

OK = b"250 ok\r\n"
FLUSHED = b"250 flushed\r\n"
VRFY = b"252 send some mail, i'll try my best\r\n"
HELP = b"214 notqmail home page: https://notqmail.org\r\n"
GO_AHEAD = b"354 go ahead\r\n"
CONTROLS = b"421 unable to read controls (#4.3.0)\r\n"
IPME = b"421 unable to figure out my IP addresses (#4.3.0)\r\n"
NO_MEMORY = b"421 out of memory (#4.3.0)\r\n"
UNKNOWN_LIMIT = b"421 sorry, too many unknown recipients (#4.7.1)\r\n"
ENDING = b"421 shutting down (#4.3.2)\r\n"
TROUBLE = b"421 temporary failure (#4.3.0)\r\n"
TIMEOUT = b"451 timeout (#4.4.2)\r\n"
STRAY_NEWLINE = b"451 See https://cr.yp.to/docs/smtplf.html.\r\n"
UNCHECKED = b"451 sorry, I can't tell now whether that mailbox exists (#4.3.0)\r\n"
NO_QUEUE = b"451 qqt failure (#4.3.0)\r\n"
TOO_MANY = b"452 too many recipients (#4.5.3)\r\n"
LINE_TOO_LONG = b"500 line too long (#5.5.2)\r\n"
NO_MAILBOX = b"550 sorry, no mailbox here by that name (#5.1.1)\r\n"
UNIMPLEMENTED = b"502 unimplemented (#5.5.1)\r\n"
WANT_MAIL = b"503 MAIL first (#5.5.1)\r\n"
WANT_RCPT = b"503 RCPT first (#5.5.1)\r\n"
TOO_EARLY = b"503 message text before my reply to DATA (#5.5.0)\r\n"
TOO_BIG = b"552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n"
NO_ROOM = b"552 sorry, that mailbox has no room for your message (#5.2.2)\r\n"
BAD_SENDER = b"553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)\r\n"
NO_GATEWAY = b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n"
LOOP = b"554 too many hops, this message is looping (#5.4.6)\r\n"
SYNTAX = b"555 syntax error (#5.5.4)\r\n"
# The words of a program in qmail-queue's place may quote the message: they must not become replies of their own.
ONE_LINE = bytes.maketrans(bytes((*range(9), *range(10, 32), 127)), b"?" * 32)


class Session:
    """One client's session. eager: text that came before our reply to DATA is accepted, as qmail does;
    otherwise such a client is sent away (RFC 2920 3.1 forbids it; what it sends may not be its own).
    check: recipients are checked if the policy says so."""

    def __init__(self, policy, client, eager=True, check=True):
        self._policy, self._client, self._eager = policy, client, eager
        self._wire = None           # the words of the recipient check; None: recipients are not checked
        if check and policy.check:
            from ..rcptcheck import wire        # the classic program is started for each connection
            self._wire = wire
        self._held = None           # a command that waits until the recipients before it are settled
        self._unsettled = []        # (recipient to ask about, None) or (None, reply), as RCPTs came
        self._unknown, self._room, self._asked = 0, NO_LIMIT, False
        self._limit = policy.databytes if client.databytes is None else client.databytes
        self._commands, self._data = CommandReader(), None
        self._helo, self._seen_mail, self._barf, self._size = None, False, False, 0
        self.sender, self.recipients, self._envelope = b"", [], 0
        self.status, self.refusal, self.closed = 0, None, False
        self.replies = bytearray(b"220 %b ESMTP\r\n" % policy.greeting)

    # what the driver calls

    def feed(self, piece):
        """Bytes from the client. Do not feed while an event has not been acted upon."""
        (self._data or self._commands).feed(piece)

    def next_event(self):
        while not self.closed:
            if len(self.replies) > REPLIES:
                return FLUSH
            if self._data is not None:
                event = self._next_text()
                if event is not None:
                    return event
                continue
            command, self._held = self._held or self._commands.next_command(), None
            if self._unsettled and (
                    command is None or command[0] != b"rcpt" or len(self._unsettled) >= self._wire.BATCH):
                self._held = command
                return CHECK
            if command is None:
                return NEED_DATA
            verb, argument = command
            action = COMMANDS.get(verb)
            if action is None:
                self.replies += UNIMPLEMENTED
            elif argument is None:
                self.replies += LINE_TOO_LONG
            elif action(self, argument) is OPEN:
                return OPEN
        return CLOSE

    def questions(self):
        """What to ask at CHECK: (addresses, bytes of the message or 0 as long as that is not known)."""
        if self._data is not None:
            return self.recipients, self._size
        return [recipient for recipient, _ in self._unsettled if recipient is not None], 0

    def checked(self, answers):
        """The answers to the questions, as rcptcheck.wire has them."""
        if self._data is not None:
            if all(answer == self._wire.FULL for answer in answers):
                self.refusal = NO_ROOM
            return
        answers, unsettled, self._unsettled = iter(answers), self._unsettled, []
        for recipient, reply in unsettled:
            if self.closed:
                return
            if recipient is None:
                self.replies += reply
            else:
                self._settle(recipient, next(answers))

    def queue_opened(self, now):
        """The queue takes the message, whose first bytes are returned: the Received line."""
        self.replies += GO_AHEAD
        self._data, self._size, self.refusal, self._asked = data.DataReader(), 0, None, False
        self._data.feed(self._commands.take_rest())
        return received(b"SMTP", self._client, self._helo, now)

    def queue_failed(self):
        self.replies += NO_QUEUE

    def answered(self, answer, qp, now):
        """The queue's answer to the message that ended: b"", b"D…" or b"Z…"."""
        rest, self._data = self._data.take_rest(), None
        self._commands.feed(rest)
        self.sender, self.recipients, self._envelope = b"", [], 0
        if not answer:
            self.replies += b"250 ok %d qp %d\r\n" % (now, qp)
        elif self.refusal:
            self.replies += self.refusal
        else:
            code = b"554 " if answer.startswith(b"D") else b"451 "
            self.replies += code + answer[1:].rstrip(b"\r\n").translate(ONE_LINE) + b"\r\n"

    def close(self, reply):
        """End the session with this reply: a timeout, trouble of ours."""
        self.replies += reply
        self.status, self.closed = 1, True

    @property
    def in_message(self):
        """True between 354 and the reply to the message."""
        return self._data is not None

    # DATA

    def _next_text(self):
        try:
            text = self._data.next_text()
        except data.StrayNewline:
            self.close(STRAY_NEWLINE)
            return None
        self._size += len(text)
        if self._data.over and not text:
            if self._data.hops.count >= data.LOOPING:
                self.refusal = LOOP
            if self._size > self._room and not self.refusal and not self._asked:
                self._asked = True
                return CHECK        # it seems that nobody has room for it: now the size is known
            return END
        if not text:
            return NEED_DATA
        if self._limit and self._size > self._limit:
            self.refusal = TOO_BIG
            return None             # nobody will want the rest
        return text

    # commands

    def _greet(self, code):
        self.replies += b"%b%b\r\n" % (code, self._policy.greeting)

    def _quit(self, _):
        self._greet(b"221 ")
        self.closed = True

    def _said_helo(self, name):
        self._seen_mail = False
        self._helo = name if name.lower() != self._client.host.lower() else None

    def _do_helo(self, name):
        self._greet(b"250 ")
        self._said_helo(name)

    def _do_ehlo(self, name):
        self._greet(b"250-")
        self.replies += b"250-PIPELINING\r\n250 8BITMIME\r\n"
        self._said_helo(name)

    def _rset(self, _):
        self._seen_mail = False
        self.replies += FLUSHED

    def _address(self, argument):
        """The address, None after a reply that it cannot be had."""
        address = grammar.address(argument)
        if address.endswith(b"]"):
            try:
                address = self._policy.localize(address)
            except (Temporary, OSError):
                self.close(IPME)
                return None
        if len(address) > grammar.LONGEST:
            self.replies += SYNTAX
            return None
        return address

    def _mail(self, argument):
        sender = self._address(argument)
        if sender is None:
            return
        self.sender, self.recipients, self._envelope, self._room = sender, [], 0, 0
        self._barf, self._seen_mail = self._policy.is_bad_sender(sender), True
        self.replies += OK

    def _rcpt(self, argument):
        before = len(self.replies)
        recipient = self._wanted(argument)
        if self.closed:
            return
        if self._unsettled and recipient is None:       # its reply waits for its turn
            self._unsettled.append((None, bytes(self.replies[before:])))
            del self.replies[before:]
        elif recipient is not None and self._wire and len(recipient) <= self._wire.ADDRESS:
            self._unsettled.append((recipient, None))
        elif recipient is not None:
            self._take(recipient, NO_LIMIT)

    def _wanted(self, argument):
        """The recipient if this client may send to it; None after a reply that says why not."""
        if not self._seen_mail:
            self.replies += WANT_MAIL
            return None
        recipient = self._address(argument)
        if recipient is None:
            return None
        if self._barf:
            self.replies += BAD_SENDER
            return None
        if self._client.relayclient is not None:
            return recipient + self._client.relayclient
        return recipient if self._allowed(recipient) else None

    def _settle(self, recipient, answer):
        """Accept a recipient, or say why not, now that it is known whether there is a mailbox."""
        if answer.startswith(self._wire.KNOWN):
            room = self._wire.room(answer)
            self._take(recipient, NO_LIMIT if room is None else room)
        elif answer == self._wire.UNKNOWN:
            self._unknown += 1
            self.replies += NO_MAILBOX
            if 0 < self._policy.unknown <= self._unknown:
                self.close(UNKNOWN_LIMIT)
        else:
            self.replies += NO_ROOM if answer == self._wire.FULL else UNCHECKED

    def _take(self, recipient, room):
        self._envelope += len(recipient)
        if len(self.recipients) >= self._policy.recipients or self._envelope > ENVELOPE:
            self.replies += TOO_MANY
            return
        self.recipients.append(recipient)
        many = self._wire and len(self.recipients) > self._wire.BATCH       # more than one question holds
        self._room = NO_LIMIT if many else max(self._room, room)
        self.replies += OK

    def _allowed(self, recipient):
        try:
            allowed = self._policy.rcpthosts.allows(recipient)
        except Temporary:
            self.close(CONTROLS)
            return False
        if not allowed:
            self.replies += NO_GATEWAY
        return allowed

    def _do_data(self, _):
        if not self._seen_mail:
            self.replies += WANT_MAIL
        elif not self.recipients:
            self.replies += WANT_RCPT
        elif not self._eager and self._commands.has_more():
            self.close(TOO_EARLY)
        else:
            self._seen_mail = False
            return OPEN


def only(reply):
    """A command that has no other effect than its reply."""
    def action(session, _):
        session.replies += reply
    return action


COMMANDS = {
    b"mail": Session._mail, b"rcpt": Session._rcpt, b"data": Session._do_data, b"quit": Session._quit,
    b"helo": Session._do_helo, b"ehlo": Session._do_ehlo, b"rset": Session._rset, b"noop": only(OK),
    b"vrfy": only(VRFY), b"help": only(HELP),
}
