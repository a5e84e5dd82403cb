"""The two states of a POP3 session (RFC 1939 3), without descriptors: commands in, replies out.

AUTHORIZATION ends with a name and a secret for a checker; TRANSACTION works on a maildrop and ends
with QUIT, whose UPDATE state it carries out. Replies are qmail's.
"""
from ..base import number
from . import wire

OK = b"+OK \r\n"


def error(text):
    return b"-ERR " + text + b"\r\n"


LINE_TOO_LONG = error(b"line too long")
SYNTAX = error(b"syntax error")


class Authorization:
    """Until the client has given a name and a password (USER, PASS) or a digest (APOP).

    login: None, then (name, password or digest); over: True after QUIT. One attempt a session:
    after either nothing more is asked of it.
    """

    def __init__(self, stamp):
        """stamp: the timestamp of the greeting, "<…@host>", never the same twice."""
        self.stamp = stamp
        self.login = None
        self.over = False
        self._user = None

    def greeting(self):
        return b"+OK " + self.stamp + b"\r\n"

    def reply(self, command):
        """The answer to a command; b"" when the checker gives it."""
        if command is wire.TOO_LONG:
            return LINE_TOO_LONG
        keyword, argument = command
        if keyword == b"user":
            return self._name(argument)
        if keyword == b"pass":
            return self._password(argument)
        if keyword == b"apop":
            return self._digest(argument)
        if keyword == b"quit":
            self.over = True
            return OK
        if keyword == b"noop":
            return OK
        return error(b"authorization first")

    def _name(self, argument):
        if not argument:
            return SYNTAX
        self._user = argument
        return OK

    def _password(self, argument):
        if self._user is None:
            return error(b"USER first")
        if not argument:
            return SYNTAX
        self.login = self._user, argument
        return b""

    def _digest(self, argument):
        name, blank, digest = argument.partition(b" ")
        if not blank:
            return SYNTAX
        self.login = name, digest
        return b""


class Transaction:
    """Commands on a maildrop, whose messages keep their numbers for the whole session.

    maildrop: `sizes` and `names` (lists, by number from 0), `open(index)` (an iterator of blocks,
    raising OSError), `update(deleted)` (how many could not be removed). over: True after QUIT.
    """

    def __init__(self, maildrop):
        self.maildrop = maildrop
        self.deleted = set()
        self.last = 0
        self.over = False
        self._commands = {
            b"stat": self.stat, b"list": self.list, b"uidl": self.uidl, b"dele": self.dele, b"retr": self.top,
            b"top": self.top, b"rset": self.rset, b"last": self.highest, b"noop": self.noop, b"quit": self.quit}

    def reply(self, command):
        """The answer to a command, in pieces. Raises OSError when a message cannot be read further:
        the session can only end then, as its text is cut in the middle."""
        if command is wire.TOO_LONG:
            return (LINE_TOO_LONG,)
        keyword, argument = command
        return self._commands.get(keyword, self.unimplemented)(argument)

    @staticmethod
    def ends(command):
        """True if the answer to this command removes messages and ends the session."""
        return command is not wire.TOO_LONG and command[0] == b"quit"

    def message(self, argument):
        """(index, None) of the message that the argument names, or (None, why not)."""
        given, _ = number.leading(argument)
        if given is None:
            return None, SYNTAX
        if given == 0:
            return None, error(b"messages are counted from 1")
        if given > len(self.maildrop.sizes):
            return None, error(b"not that many messages")
        if given - 1 in self.deleted:
            return None, error(b"already deleted")
        return given - 1, None

    def stat(self, _):
        sizes = self.maildrop.sizes
        total = sum(sizes) - sum(sizes[index] for index in self.deleted)
        return (b"+OK %d %d\r\n" % (len(sizes), total),)

    def list(self, argument):
        return self._listing(argument, lambda index: b"%d %d\r\n" % (index + 1, self.maildrop.sizes[index]))

    def uidl(self, argument):
        return self._listing(argument, lambda index: b"%d %s\r\n" % (index + 1, self.maildrop.names[index]))

    def _listing(self, argument, entry):
        if argument:
            index, why = self.message(argument)
            return (why or b"+OK " + entry(index),)
        shown = (entry(index) for index in range(len(self.maildrop.sizes)) if index not in self.deleted)
        return (OK + b"".join(shown) + b".\r\n",)

    def dele(self, argument):
        index, why = self.message(argument)
        if why:
            return (why,)
        self.deleted.add(index)
        self.last = max(self.last, index + 1)
        return (OK,)

    def top(self, argument):
        """TOP and RETR alike: all of a message, or its header and some lines if a count is given."""
        index, why = self.message(argument)
        if why:
            return (why,)
        lines, _ = number.leading(number.leading(argument)[1].lstrip(b" "))
        try:
            blocks = self.maildrop.open(index)
        except OSError:
            return (error(b"unable to open that message"),)
        return self._text(blocks if lines is None else wire.top(blocks, lines))

    @staticmethod
    def _text(blocks):
        yield OK
        yield from wire.transparency(blocks)

    def rset(self, _):
        self.deleted.clear()
        self.last = 0
        return (OK,)

    def highest(self, _):
        return (b"+OK %d\r\n" % self.last,)

    def noop(self, _):
        return (OK,)

    def quit(self, _):
        """UPDATE: deleted messages go, the new ones among the others become seen ones."""
        failed = self.maildrop.update(self.deleted)
        self.over = True
        return (error(b"unable to unlink all deleted messages") * failed + OK,)

    def unimplemented(self, _):
        return (error(b"unimplemented"),)
