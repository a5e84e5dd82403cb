"""The embedded back end: vpasswd, the accounts of a domain as vpopmail keeps them, and vpasswd.cdb made from it.

vpasswd is text, a line for each account, sorted by name; it is the truth. vpasswd.cdb is the only file that a
look-up reads. Whoever changes them holds .vpasswd.lock; what is renamed is complete and on the disk before, vpasswd
first. After a crash between the two the cdb is older than vpasswd, and the next change (the same one, too), or
vmkpasswd, makes it anew from that. Both are made anew for each change, unless they are large: see vpasswd_large.py.
Source: vpopmail's cdb module, as recorded.
"""
import os
import time

from ..base import cdb
from ..base.errors import Temporary
from . import backend, files, hashdirs, home
from .account import changed, damaged, line, name_of, parse, split
from .errors import Refused
from .place import Inside

VPASSWD, CDB, LOCK = b"vpasswd", b"vpasswd.cdb", backend.LOCK
# Under the lock there is one of each; what a kill left is overwritten. No user's directory has such a name.
NEW_VPASSWD, NEW_CDB = b".vpasswd.new", b".vpasswd.cdb.new"
PRIVATE = 0o600
LARGE = 1 << 18                         # bytes of a cdb; records of smaller ones are in the order of vpasswd
WASTE, APART = 3, 1 << 18               # times the size of vpasswd, and bytes: so large a cdb is made anew


class Embedded:
    """vpasswd and vpasswd.cdb in the domain's directory. For the interface see accounts.py."""

    kind = backend.CDB
    logins = False                      # they are noted in the users' directories
    directories = hashdirs.File()

    def __init__(self, domain):
        self._domain = domain

    # ------------------------------------------------------------ look-up

    def get(self, name):
        with Inside(self._domain):
            try:
                found = cdb.find(CDB, name)
            except FileNotFoundError:
                if not os.path.exists(VPASSWD):
                    refuse_lost(has_directories())
                if not os.path.exists(VPASSWD):
                    return None             # a domain without any account yet
                rebuild()
                found = cdb.find(CDB, name)
        return None if found is None else parse(name, found)

    def all(self):
        return [parse(*split(text)) for text in self._lines() if text]

    def names(self):
        return [name_of(text) for text in self._lines() if text]

    def count(self):
        return len(self.names())

    # ------------------------------------------------------------ change

    def add(self, account):
        text = line(account, keeps_clear())
        with Inside(self._domain), backend.Changing(self._domain, self.kind):
            if is_large_and_current():
                from . import vpasswd_large     # only where a domain is large
                if vpasswd_large.add(text):
                    return
            data = read()
            start = account.name + b":"
            if data.startswith(start) or b"\n" + start in data:
                catch_up(account.name, True)
                raise Refused("USERNAME_EXISTS")
            place = position_for(data, account.name)
            data = b"".join((data[:place], text, b"\n", data[place:]))
            put(data, lambda: write_cdb(data.split(b"\n")))

    def add_many(self, found):
        """Add accounts in one go; the names of those that were not added because they are there already."""
        new = {account.name: line(account, keeps_clear()) for account in reversed(found)}
        with Inside(self._domain), backend.Changing(self._domain, self.kind):
            lines = read_lines()
            known = {name_of(text) for text in lines}
            lines += [text for name, text in new.items() if name not in known]
            lines.sort(key=name_of)
            put(b"".join(text + b"\n" for text in lines), lambda: write_cdb(lines))
        return [name for name in new if name in known]

    def put(self, account):
        text = line(account, keeps_clear())
        self._exchange(account.name, lambda old: text)

    def change(self, name, function, stale=False):
        self._exchange(name, lambda old: changed(old, function, keeps_clear()), stale)

    def change_all(self, function, stale=False):
        def exchange(lines):
            lines[:] = [changed(text, function, keeps_clear()) if text else text for text in lines]
        with Inside(self._domain), backend.Changing(self._domain, self.kind):
            rewrite(exchange, stale)

    def delete(self, name):
        self._exchange(name, lambda old: None)

    def rebuild(self):
        """Make vpasswd.cdb from vpasswd."""
        with Inside(self._domain):
            rebuild()

    # ------------------------------------------------------------ moving

    def check(self, account):
        """Raises Refused if this store cannot hold the account as it is."""
        if parse(*split(line(account))) != account:
            raise Refused("BAD_CHARACTER")

    def prefill(self, wanted, tell):
        """Nothing: both files are made in one go, by replace_all()."""
        tell(len(wanted))

    def replace_all(self, found):
        """Let these be all the accounts. For who holds the lock already."""
        lines = sorted((line(account, keeps_clear()) for account in found), key=name_of)
        with Inside(self._domain):
            put(b"".join(text + b"\n" for text in lines), lambda: write_cdb(lines))

    def forget(self):
        """Nobody has an account here any more. For who holds the lock already."""
        with Inside(self._domain):
            for name in (VPASSWD, CDB):
                files.remove(name)
            files.sync_directory(b".")

    # ------------------------------------------------------------ files

    def _lines(self):
        with Inside(self._domain):
            return read_lines()

    def _exchange(self, name, function, stale=False):
        """Let function(line) be the line of `name` instead, None for none at all."""
        def exchange(lines):
            place = position(lines, name)
            text = function(lines[place])
            lines[place:place + 1] = [] if text is None else [text]
        with Inside(self._domain), backend.Changing(self._domain, self.kind):
            if not stale and is_large_and_current():
                from . import vpasswd_large     # only where a domain is large
                if vpasswd_large.exchange(name, function):
                    return
            try:
                rewrite(exchange, stale)
            except Refused:
                catch_up(name, any(name_of(text) == name for text in read_lines()))
                raise


def rewrite(edit, stale):
    """edit(list of lines), then both files."""
    lines = read_lines()
    edit(lines)
    put(b"".join(text + b"\n" for text in lines), None if stale else lambda: write_cdb(lines))


def rebuild():
    """Make vpasswd.cdb from vpasswd, in the current directory."""
    with files.Locked(LOCK):
        compile_again()


def compile_again():
    lines = read_lines()
    if os.path.exists(VPASSWD) and os.stat(VPASSWD).st_mtime_ns > time.time_ns():
        os.utime(VPASSWD)               # a crash left it dated ahead, or somebody: now the cdb is the younger one
    write_cdb(lines)
    os.rename(NEW_CDB, CDB)
    files.sync_directory(b".")


def catch_up(name, there):
    """A change that has nothing to do (`name` is in vpasswd, or is not), but that a crash kept from the cdb, is one
    that look-ups see from here on. For who holds the lock."""
    try:
        behind = os.stat(CDB).st_mtime_ns < os.stat(VPASSWD).st_mtime_ns or (cdb.find(CDB, name) is not None) != there
    except Temporary:
        behind = True
    except FileNotFoundError:
        behind = os.path.exists(VPASSWD)
    if behind:
        compile_again()


def put(data, compile_new):
    """Put a new vpasswd in place, and the new cdb that compile_new() makes (None: the cdb stays). Both are complete and
    on the disk before the first is renamed."""
    files.write(NEW_VPASSWD, data, PRIVATE)
    try:
        if compile_new:
            compile_new()
        os.rename(NEW_VPASSWD, VPASSWD)
    except BaseException:
        files.remove(NEW_VPASSWD)
        raise
    if compile_new:
        os.rename(NEW_CDB, CDB)
    files.sync_directory(b".")


def position_for(data, name):
    """Where in vpasswd (bytes) the line of `name` belongs, by halving: lines are sorted by name."""
    low, high = 0, len(data)
    while low < high:
        start = data.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = data.index(b"\n", start) + 1
        if data[start:end].partition(b":")[0] < name:
            low = end
        else:
            high = start
    return low


def is_large_and_current():
    """True if the cdb is so large that a record is not worth making it anew, and not older than vpasswd: what was
    edited by hand, or left over by a crash, is made anew."""
    try:
        made, source = os.stat(CDB), os.stat(VPASSWD)
    except FileNotFoundError:
        return False
    return LARGE <= made.st_size <= WASTE * source.st_size + APART and made.st_mtime_ns >= source.st_mtime_ns


def write_cdb(lines):
    """The new cdb, complete and on the disk."""
    files.remove(NEW_CDB)
    fd = os.open(NEW_CDB, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        cdb.write(fd, (split(text) for text in lines if text))
    finally:
        os.close(fd)


def read():
    """vpasswd in the current directory; b"" where there are no accounts yet. Raises Temporary if it is damaged, or if
    there must have been one."""
    data = files.read(VPASSWD)
    if data is None:
        refuse_lost(os.path.exists(CDB))
        return b""
    if data and not data.endswith(b"\n"):
        data += b"\n"                   # somebody's editor
    if damaged(data):
        raise Temporary("vpasswd is damaged")
    return data


def read_lines():
    """The lines of vpasswd."""
    lines = read().split(b"\n")
    lines.pop()
    return lines


def refuse_lost(evidence):
    """Raises Temporary where vpasswd is not there and the `evidence` says that it must have been: nobody's mail is
    refused for that."""
    if evidence and not os.path.exists(VPASSWD):    # somebody may just have made the first user
        raise Temporary("vpasswd is missing; an empty file would say that there are no accounts")


def has_directories():
    """True if some user has a directory here."""
    return any(os.path.isdir(name + b"/Maildir") for name in os.listdir(b".") if not name.startswith(b"."))


def position(lines, name):
    """Where the line of `name` is. Raises Refused USER_DOES_NOT_EXIST."""
    for place, text in enumerate(lines):
        if text.startswith(name) and name_of(text) == name:
            return place
    raise Refused("USER_DOES_NOT_EXIST")


def keeps_clear():
    """True if clear passwords are kept."""
    return home.enabled(b"clear-passwd")
