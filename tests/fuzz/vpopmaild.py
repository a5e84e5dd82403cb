"""The dialogue of vpopmaild: a client's bytes in, lines out, accounts and domains in memory, and every change noted."""
import contextlib
import copy
import errno
import os
from unittest import mock

from pyqmail.vpopmail import (accounts, assign, daemon, daemon_commands, daemon_files, domains, flags, ipmap, limits,
                              login, passwords, quotas, userdir, users, valias)
from pyqmail.vpopmail.account import Account
from pyqmail.vpopmail.errors import Refused

from .reading import Input

HOME = b"/vpop"
NAMES = (b"example.com", b"other.example")
#  who            flags
USERS = ((b"joe", 0), (b"adm", flags.QA_ADMIN), (b"sys", flags.SA_ADMIN), (b"ann", 0))
GREETINGS = (b"", b"login joe@example.com pw\n", b"clogin adm@example.com pw\n", b"slogin sys@example.com pw\n")


class Store:
    """A domain's accounts."""

    def __init__(self, domain, changed):
        self._domain, self._changed = domain, changed
        self._found = {name: Account(name, b"$1$x", 1, own, name, domain.directory + b"/" + name, b"NOQUOTA", b"pw")
                       for name, own in USERS}

    def get(self, name):
        return copy.copy(self._found.get(name))

    def all(self):
        return [copy.copy(each) for each in self._found.values()]

    def count(self):
        return len(self._found)

    def change(self, name, function):
        if name not in self._found:
            raise Refused("USER_DOES_NOT_EXIST")
        before = self._found[name].flags
        function(self._found[name])
        self._changed("change", self._domain, name, (before, self._found[name].flags))


class World:
    """What is there, and what was done to it: (what, real domain, user, details)."""

    def __init__(self):
        self.done = []
        self.domains = {name: assign.Domain(name, name, 89, 89, b"%b/domains/%b" % (HOME, name)) for name in NAMES}
        self.stores = {name: Store(domain, self.change) for name, domain in self.domains.items()}

    def change(self, what, domain=None, user=None, details=None, *rest):
        real = getattr(domain, "real", domain)
        self.done.append((what, real, user, details))

    def note(self, what):
        return lambda *arguments, **rest: self.change(what, *arguments[:3])

    def check(self, name, secret, challenge, service, ip):
        user, _, host = name.partition(b"@")
        account = self.stores[host].get(user) if host in self.stores and secret == b"pw" else None
        if account is None:
            raise login.Failure(login.WRONG, b"")
        return login.Login(self.domains[host], account, account.flags, b"PLAIN")

    @contextlib.contextmanager
    def in_place(self):
        """The modules see this world."""
        with contextlib.ExitStack() as stack:
            for module, name, value in (
                    (accounts, "store", lambda domain: self.stores[domain.real]),
                    (assign, "find", lambda name: self.domains.get(name.lower())),
                    (assign, "everyone", lambda: list(self.domains.values())), (assign, "aliases", lambda real: []),
                    (login, "check", self.check), (limits, "get", lambda domain: limits.Limits()),
                    (limits, "put", self.note("limits")), (limits, "delete", self.note("limits")),
                    (users, "add", self.note("add")), (users, "delete", self.note("delete")),
                    (users, "write_sqwebmail", lambda *_: None), (users, "last_login", lambda *_: (5, b"192.0.2.1")),
                    (valias, "insert", self.note("alias")), (valias, "delete", self.note("alias")),
                    (valias, "lines", lambda domain, user: [b"&a@b.example"]), (valias, "users", lambda domain: [b"x"]),
                    (domains, "add", self.note("domain")), (domains, "add_alias", self.note("domain")),
                    (domains, "delete", self.note("domain")),
                    (ipmap, "entries", lambda: [(b"192.0.2.1", b"example.com")]), (ipmap, "add", self.note("ip")),
                    (ipmap, "delete", self.note("ip")), (quotas, "apply", self.note("quota")),
                    (passwords, "make", lambda clear: b"$1$y"), (passwords, "kept", lambda clear: clear),
                    (userdir, "directory_of", lambda domain, account: account.directory),
                    (daemon_commands, "measure", lambda *_: daemon_commands.maildirsize.Usage()),
                    (daemon_commands, "vpophome", lambda: HOME), (daemon_commands, "Inside", contextlib.nullcontext),
                    (daemon_commands.home, "ids", lambda: (89, 89)), (daemon_commands.home, "vpophome", lambda: HOME),
                    (daemon_files.Target, "__enter__", lambda target: self.reach(target))):
                stack.enter_context(mock.patch.object(module, name, value))
            yield

    def reach(self, target):
        """No file is touched: this far a path may come, and not out of its domain."""
        parts = (*target._way, target.name)
        assert not {b"", b".", b".."} & set(parts) and not set(b"/\0") & set(b"".join(parts)), parts
        self.change("file", target._domain, parts[0], parts)
        raise OSError(errno.EACCES, "permission denied")


def session(data):
    given = Input(data)
    who, _ = given.byte() % len(GREETINGS), given.byte()
    stream = GREETINGS[who] + given.rest()[:4000]
    world, sink = World(), os.memfd_create("sink")
    source, writer = os.pipe()
    try:
        os.write(writer, stream)
        os.close(writer)
        with world.in_place():
            code = daemon.Session(source, sink).run()
        assert code in (0, daemon.GONE)
        replies = os.pread(sink, 1 << 26, 0)
    finally:
        os.close(source)
        os.close(sink)
    well_formed(replies)
    allowed(world, b"pw" in stream, who, b"login " in stream[len(GREETINGS[who]):].lower())


def well_formed(replies):
    """Every line ends in CR LF and holds neither CR nor NUL; lists end."""
    assert replies.endswith(b"\r\n")
    lines = replies.split(b"\r\n")[:-1]
    assert all(b"\n" not in line and b"\0" not in line for line in lines), replies
    listing = False
    for line in lines:
        if listing:
            listing = line != b"."
        else:
            assert line.startswith((b"+OK", b"-ERR ", b"  Warning: ")), line
            listing = line == b"+OK+"
    assert not listing


def allowed(world, logged_in, who, again):
    """Nobody changed what is not his to change. again: the input may have logged in as somebody else."""
    assert logged_in or not world.done
    if again and not who:
        return
    for what, domain, user, details in world.done:
        if who == 1:
            assert what in ("change", "file", "quota") and domain == b"example.com" and user == b"joe", world.done
        elif who == 2:
            assert domain == b"example.com" and what not in ("domain", "ip", "limits"), world.done
        if what == "change" and who in (1, 2):
            assert (details[0] ^ details[1]) & daemon_commands.BY_SYSTEM == 0, details
