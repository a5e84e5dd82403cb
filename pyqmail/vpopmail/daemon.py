"""The dialogue of vpopmaild: administration over a connection, line by line.

    client: login user@domain password          clogin: flags as one number; slogin: no answer but yes
    server: +OK                                 done
            +OK+ … .                            done, lines follow, a single dot ends them
            -ERR N.MMM TEXT                     N: the kind of error, MMM: where it arose

Before the login there is only help and quit. After it everybody may look after himself, a domain administrator
(flag QA_ADMIN) after his domain, as far as its limits let him, a system administrator (SA_ADMIN) after all.
What each command does is in daemon_commands.py and daemon_files.py.
Source: vpopmail's vpopmaild, as recorded.
"""
import os
import select

from ..base import netio
from ..base.errors import Permanent, Temporary
from . import accounts, daemon_commands, flags, login
from .daemon_help import HELP
from .daemon_replies import Reply, Silent

LEVELS = ("user", "domain", "system")   # who may use what: those, and those after them
IDLE = 60                           # s without a byte
LONGEST = 4096                      # bytes of a line
LOGINS, LINES = 4, 4                # bad logins, lines before a login: with so many it ends
WRONG = 8                           # the number of the refusal of a bad login
LOGINS_BY = EXPANDED, COMPACT, SILENT = b"login", b"clogin", b"slogin"
QUIT = (b"quit", b"q", b"exit")
POSTMASTER = b"postmaster"
GONE = 255                          # exit code when the client did not say goodbye
BEFORE, AFTER = 103, 106            # the place of a timeout: before the login, after it


class Lost(Exception):
    """The connection ends; `reply` is the last word."""

    def __init__(self, reply):
        super().__init__()
        self.reply = reply


class Ended(Exception):
    """The connection has ended, and all has been said."""


class Session:
    """One connection on the descriptors `source` and `sink`.

    After the login: domain (assign.Domain), user (its name), account (read anew for each command), compact.
    """

    def __init__(self, source, sink, ip=b""):
        self._source, self._sink, self._ip, self._input = source, sink, ip, b""
        self.domain = self.user = None
        self.compact = True

    def run(self):
        """Serve to the end; the exit code."""
        try:
            if self.wait_for_login():
                self.serve()
            return 0
        except Lost as lost:
            self.send(lost.reply.line())
            return GONE
        except (Ended, BrokenPipeError, ConnectionResetError):
            return GONE

    def serve(self):
        """What comes after the login. Raises Lost."""
        while self.command(self.line()):
            pass

    # ------------------------------------------------------------ lines

    def send(self, *lines):
        netio.write_all(self._sink, b"".join(line + b"\r\n" for line in lines))

    def send_list(self, lines):
        self.send(b"+OK+", *lines, b".")

    def line(self):
        """The next line without its end; a NUL ends what is looked at. Raises Lost."""
        while b"\n" not in self._input:
            if len(self._input) > LONGEST:
                raise Lost(Reply(2, 103, b"Line too long"))
            poll = select.poll()
            poll.register(self._source, select.POLLIN)
            data = os.read(self._source, LONGEST) if poll.poll(IDLE * 1000) else b""
            if not data:
                raise Lost(Reply(3, AFTER if self.user else BEFORE))
            self._input += data
        line, _, self._input = self._input.partition(b"\n")
        return line.partition(b"\0")[0].rstrip(b"\r")

    def ask_lines(self, most=100_000):
        """Say that the command may go on; the lines that follow, up to one with a dot. Raises Lost."""
        self.send(b"+OK ")
        return self.lines(most, lambda line: line.startswith(b"."))

    def lines(self, most=100_000, last=lambda line: line == b"."):
        """The lines up to the last one. Raises Lost."""
        found = []
        while not last(line := self.line()):
            if len(found) == most:
                raise Lost(Reply(2, AFTER, b"Too many lines"))
            found.append(line)
        return found

    # ------------------------------------------------------------ login

    def wait_for_login(self):
        """Greet; True after a login, False after quit. Raises Lost."""
        self.send(b"+OK ")
        failed = 0
        for _ in range(LINES):
            word, _, rest = self.line().strip().partition(b" ")
            word = word.lower()
            if word in QUIT:
                self.send(b"+OK ")
                return False
            if word == b"help":
                self.send_list(HELP["login"])
            elif word in LOGINS_BY:
                refusal = self.try_login(word, rest)
                if refusal is None:
                    return True
                self.send(refusal.line())
                failed += refusal.number == WRONG
                if failed == LOGINS:
                    raise Lost(Reply(5, 105))
            elif word:
                self.send(Reply(4, 104).line())
        raise Lost(Reply(5, 102))

    def try_login(self, kind, rest):
        """None after a login, else the Reply. An unknown user and a wrong password are answered alike."""
        name, _, secret = rest.strip().partition(b" ")
        if not name:
            return Reply(6, 203)
        if not secret:
            return Reply(7, 204)
        try:
            found = login.check(name, secret, b"", None, self._ip)
        except login.Failure:
            return Reply(WRONG, 207)
        except (Temporary, OSError):
            return Reply(1, 101)
        self.domain, self.user = found.domain, found.account.name
        self.compact = kind != EXPANDED
        if kind == SILENT:
            self.send(b"+OK ")
        else:
            domain = found.domain
            self.send_list([b"vpopmail_dir " + daemon_commands.vpophome(), b"domain_dir " + domain.directory,
                            b"uid %d" % domain.uid, b"gid %d" % domain.gid, *self.describe(self.account)])
        return None

    # ------------------------------------------------------------ rights

    @property
    def account(self):
        """The account of who is logged in, as it is now; postmaster administers his domain, whatever his flags.
        Raises Lost when it is gone."""
        found = accounts.store(self.domain).get(self.user)
        if found is None:
            raise Lost(Reply(12, AFTER))
        if self.user == POSTMASTER:
            found.flags |= flags.QA_ADMIN
        return found

    def level(self):
        """"system", "domain" or "user": what the one who is logged in may do."""
        own = self.account.flags
        return "system" if own & flags.SA_ADMIN else "domain" if own & flags.QA_ADMIN else "user"

    def may_domain(self, domain):
        level = self.level()
        return level == "system" or level == "domain" and domain.real == self.domain.real

    def may_user(self, domain, user):
        return self.may_domain(domain) or (domain.real, user) == (self.domain.real, self.user)

    def describe(self, account):
        """The lines about an account."""
        lines = [b"name " + account.name, b"comment " + account.comment, b"quota " + account.quota,
                 b"user_dir " + account.directory, b"encrypted_password " + account.hash,
                 b"clear_text_password " + account.clear]
        if self.compact:
            return [*lines, b"gidflags %d" % account.flags]
        return lines + [b"%b %d" % (word, bool(account.flags & flag)) for word, flag in daemon_commands.FLAGS]

    # ------------------------------------------------------------ commands

    def command(self, line):
        """Carry out a command; False when it was the last one. Raises Lost."""
        word, _, rest = line.strip().partition(b" ")
        word = word.lower()
        if word in QUIT:
            self.send(b"+OK ")
            return False
        if not word:
            return True
        if word == b"help":
            self.send_list(HELP[self.level()])
            return True
        level, place, work = daemon_commands.ALL.get(word, (None, 0, None))
        try:
            if work is None or LEVELS.index(self.level()) < LEVELS.index(level):
                raise Reply(4, 107)
            answer = work(self, rest.strip())
        except Reply as reply:
            self.send(reply.line())
        except Silent:
            pass
        except (Permanent, Temporary) as why:
            self.send(Reply(0, place, os.fsencode(str(why).replace("\n", " ")) or b"error").line())
        except OSError as why:
            self.send(Reply(0, place, os.strerror(why.errno or 0).encode()).line())
        else:
            self.send(b"+OK ") if answer is None else self.send_list(answer)
        return True
