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

from ..base import errors, netio
from ..base.errors import Permanent, Temporary
from . import accounts, daemon_commands, flags, login, loginlog, names
from .daemon_help import HELP
from .daemon_replies import Reply

IDLE = 60                           # s without a byte
LONGEST = 4096                      # bytes of a line
LOGINS, LINES = 4, 5                # bad logins, lines before a login: with so many it ends
EXPANDED, COMPACT, SILENT = b"login", b"clogin", b"slogin"
QUIT = (b"quit", b"q", b"exit")
GONE = 255                          # exit code when the client did not say goodbye
TIMEOUT = Reply(3, 103, b"Read Timeout")


class Lost(Exception):
    """The connection ends; `reply` is the last word."""

    def __init__(self, reply):
        super().__init__()
        self.reply = reply


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
            self.send(b"+OK ")
            if self.wait_for_login():
                while self.command(self.line()):
                    pass
            return 0
        except Lost as lost:
            self.send(lost.reply.line())
            return GONE
        except (BrokenPipeError, ConnectionResetError):
            return GONE

    # ------------------------------------------------------------ lines

    def send(self, *lines):
        netio.write_all(self._sink, b"".join(line + b"\r\n" for line in lines))

    def send_list(self, lines):
        self.send(b"+OK+", *lines, b".")

    def line(self):
        """The next line without its end. Raises Lost."""
        while b"\n" not in self._input:
            if len(self._input) > LONGEST:
                raise Lost(Reply(2, 103, b"Line too long"))
            poll = select.poll()
            poll.register(self._source, select.POLLIN)
            data = os.read(self._source, LONGEST) if poll.poll(IDLE * 1000) else b""
            if not data:
                raise Lost(TIMEOUT)
            self._input += data
        line, _, self._input = self._input.partition(b"\n")
        return line.rstrip(b"\r")

    def ask_lines(self, most=100_000):
        """Say that the command may go on; the lines that follow, up to a single dot. Raises Lost."""
        self.send(b"+OK ")
        found = []
        while (line := self.line()) != b".":
            if len(found) == most:
                raise Lost(Reply(2, 103, b"Too many lines"))
            found.append(line)
        return found

    # ------------------------------------------------------------ login

    def wait_for_login(self):
        """True after a login, False after quit. Raises Lost."""
        failed = 0
        for number in range(1, LINES + 1):
            line = self.line()
            word, _, rest = line.strip().partition(b" ")
            word = word.lower()
            if word in QUIT:
                self.send(b"+OK ")
                return False
            if number == LINES:
                raise Lost(Reply(5, 102, b"Too many invalid login attempts"))
            if word == b"help":
                self.send_list(HELP["login"])
            elif word in (EXPANDED, COMPACT, SILENT):
                if self.try_login(word, rest):
                    return True
                failed += 1
                if failed == LOGINS:
                    raise Lost(Reply(5, 101, b"Too many invalid login attempts"))
            elif word:
                self.send(Reply(4, 104, b"Invalid Command").line())
        return False

    def try_login(self, kind, rest):
        name, _, secret = rest.strip().partition(b" ")
        if not name:
            return self.refuse(Reply(6, 203, b"Email Address Required"))
        if not secret:
            return self.refuse(Reply(7, 204, b"Password Required"))
        try:
            found = login.check(name, secret, b"", None, self._ip)
        except login.Failure as why:
            loginlog.refused("vpopmaild", why.text)
            return self.refuse(Reply(8, 205, b"Invalid Email Address or Password"))
        except (Temporary, OSError):
            return self.refuse(Reply(0, 206, b"try again later"))
        self.domain, self.user = found.domain, found.account.name
        self.compact = kind != EXPANDED
        if kind == SILENT:
            self.send(b"+OK ")
        else:
            domain = found.domain
            self.send_list([b"vpopmail_dir " + daemon_commands.vpophome(), b"domain_dir " + domain.directory,
                            b"uid %d" % domain.uid, b"gid %d" % domain.gid, *self.describe(found.account)])
        return True

    def refuse(self, reply):
        self.send(reply.line())
        return False

    # ------------------------------------------------------------ rights

    @property
    def account(self):
        """The account of who is logged in, as it is now. Raises Lost when it is gone."""
        found = accounts.store(self.domain).get(self.user)
        if found is None:
            raise Lost(Reply(12, 105, b"User does not exist"))
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
        if word == b"help":
            self.send_list(HELP[self.level()])
            return True
        work = daemon_commands.ALL.get(word)
        try:
            if work is None:
                raise Reply(4, 403, b"Invalid Command")
            answer = work(self, rest.strip())
        except Reply as reply:
            self.send(reply.line())
        except names.BadName:
            self.send(Reply(10, 404, b"Invalid Email Address").line())
        except (Permanent, Temporary) as why:
            self.send(Reply(0, 405, os.fsencode(str(why).replace("\n", " ")) or b"error").line())
        except OSError as why:
            self.send(Reply(0, 406, errors.text(why).encode()).line())
        else:
            self.send(b"+OK ") if answer is None else self.send_list(answer)
        return True
