"""The accounts of a domain: one small interface, and its embedded back end.

    accounts = store(domain)                    domain: from domains.find()
    accounts.get(b"joe")                        Account, or None; raises Temporary
    accounts.names(), accounts.all()            in the order of the store
    accounts.count()
    accounts.add(account)                       raises Refused USERNAME_EXISTS
    accounts.put(account)                       replaces it; raises Refused USER_DOES_NOT_EXIST
    accounts.change(name, function)             function(account) changes it, under the lock
    accounts.change_all(function)               every account
    accounts.delete(name)                       raises Refused USER_DOES_NOT_EXIST
    accounts.rebuild()                          whatever is derived from the accounts is made again

Not being able to ask is always Temporary (or OSError), never "no such user".

The embedded back end is vpopmail's: the text file vpasswd, sorted by name, and vpasswd.cdb, made from it and
the only file that a look-up reads (a large cdb gets new records at its end instead). Whoever changes vpasswd holds .vpasswd.lock; both new files are on the disk
before the first of them is renamed. After a crash between the two renames the cdb is the old one; every change
makes it anew from vpasswd, so the next one, or vmkpasswd, brings both together.
Source: vpopmail's cdb module, as recorded.
"""
import os

from ..base import cdb, number
from . import files
from .place import Inside
from .errors import Refused

VPASSWD, CDB, NEW_CDB, LOCK = b"vpasswd", b"vpasswd.cdb", b"cdb.tmp", b".vpasswd.lock"
PRIVATE = 0o600
LARGE = 1 << 18                         # bytes of a cdb; records of smaller ones are in the order of vpasswd


class Account:
    """One mail user. Everything is bytes but uidfield and flags; quota is in its stored form (b"NOQUOTA",
    b"1048576S", …), directory the user's (its Maildir is in it), clear the clear password, b"" if none is kept."""

    __slots__ = ("name", "hash", "uidfield", "flags", "comment", "directory", "quota", "clear")

    def __init__(self, name, hash=b"", uidfield=1, flags=0, comment=b"", directory=b"", quota=b"NOQUOTA", clear=b""):
        self.name, self.hash, self.uidfield, self.flags = name, hash, uidfield, flags
        self.comment, self.directory, self.quota, self.clear = comment, directory, quota, clear

    def __eq__(self, other):
        return isinstance(other, Account) and all(getattr(self, field) == getattr(other, field)
                                                  for field in self.__slots__)

    def __repr__(self):
        return f"Account({', '.join(f'{field}={getattr(self, field)!r}' for field in self.__slots__)})"


def parse(name, data):
    """The Account `name` whose other fields are `data`, the rest of a vpasswd line. Missing fields are empty;
    a comment of ours has no colon, a clear password may have."""
    fields = data.split(b":", 6)
    fields += [b""] * (7 - len(fields))
    hash, uidfield, flags, comment, directory, quota, clear = fields
    return Account(name, hash, number.leading(uidfield)[0] or 0, number.leading(flags)[0] or 0, comment, directory,
                   quota, clear)


def line(account, with_clear=True):
    """The vpasswd line of an account, without its newline. Without clear passwords the eighth field and its colon
    are not there. Raises Refused BAD_CHARACTER for what would be read back as something else."""
    fields = [account.name, account.hash, b"%d" % account.uidfield, b"%d" % account.flags,
              account.comment.replace(b":", b""), account.directory, account.quota]
    if any(b":" in field for field in fields) or any(b"\n" in field for field in (*fields, account.clear)):
        raise Refused("BAD_CHARACTER")
    return b":".join([*fields, account.clear] if with_clear or account.clear else fields)


def store(domain):
    """The accounts of a domain (anything with uid, gid and directory)."""
    return Embedded(domain)


class Embedded:
    """vpasswd and vpasswd.cdb in the domain's directory."""

    def __init__(self, domain):
        self._domain = domain

    # ------------------------------------------------------------ look-up

    def get(self, name):
        """The Account of that name, None if there is none. Raises Temporary, OSError."""
        with Inside(self._domain):
            try:
                found = cdb.find(CDB, name)
            except FileNotFoundError:
                if not os.path.exists(VPASSWD):
                    return None             # a domain without any account yet
                rebuild()
                found = cdb.find(CDB, name)
        return None if found is None else parse(name, found)

    def all(self):
        """Every Account, in the order of the file."""
        return [parse(*split(text)) for text in self._lines() if text]

    def names(self):
        return [name_of(text) for text in self._lines() if text]

    def count(self):
        return len(self.names())

    # ------------------------------------------------------------ change

    def add(self, account):
        """Put a new account in its sorted place."""
        text = line(account, keeps_clear())
        with Inside(self._domain), files.Locked(LOCK):
            data = files.read(VPASSWD) or b""
            start = account.name + b":"
            if data.startswith(start) or b"\n" + start in data:
                raise Refused("USERNAME_EXISTS")
            if data and not data.endswith(b"\n"):
                data += b"\n"
            place = position_for(data, account.name)
            def compile_new():
                if is_large_and_current():
                    append_to_cdb(text)
                else:
                    write_cdb([*data[:place].split(b"\n"), text, *data[place:].split(b"\n")])
            put(b"".join((data[:place], text, b"\n", data[place:])), compile_new)

    def put(self, account):
        """Replace the account of the same name."""
        def exchange(lines):
            lines[position(lines, account.name)] = line(account, keeps_clear())
        self._rewrite(exchange)

    def change(self, name, function, stale=False):
        """Let function(account) change the account `name`. stale: leave vpasswd.cdb as it is."""
        def exchange(lines):
            place = position(lines, name)
            lines[place] = changed(lines[place], function)
        self._rewrite(exchange, stale)

    def change_all(self, function, stale=False):
        """Let function(account) change every account, in one go."""
        def exchange(lines):
            lines[:] = [changed(text, function) if text else text for text in lines]
        self._rewrite(exchange, stale)

    def delete(self, name):
        """Take the account away."""
        def remove(lines):
            del lines[position(lines, name)]
        self._rewrite(remove)

    def rebuild(self):
        """Make vpasswd.cdb from vpasswd."""
        with Inside(self._domain):
            rebuild()

    # ------------------------------------------------------------ files

    def _lines(self):
        with Inside(self._domain):
            return read_lines()

    def _rewrite(self, edit, stale=False):
        """edit(list of lines) under the lock, then both files."""
        with Inside(self._domain), files.Locked(LOCK):
            lines = read_lines()
            edit(lines)
            put(b"".join(text + b"\n" for text in lines), None if stale else lambda: write_cdb(lines))


def rebuild():
    """Make vpasswd.cdb from vpasswd, in the current directory."""
    with files.Locked(LOCK):
        write_cdb(read_lines())
        os.rename(NEW_CDB, CDB)
        files.sync_directory(b".")


def put(data, compile_new):
    """Put a new vpasswd in place, and the cdb.tmp that compile_new() makes (None: the cdb stays). Both are complete and
    on the disk before the first is renamed."""
    temporary = b"%b.bak.%d" % (VPASSWD, os.getpid())
    files.write(temporary, data, PRIVATE)
    try:
        if compile_new:
            compile_new()
        os.rename(temporary, VPASSWD)
    except BaseException:
        files.remove(temporary)
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
    """True if the cdb is so large that one more record is not worth making it anew, and not older than vpasswd: what was
    edited by hand, or left over by a crash, is made anew."""
    try:
        made, source = os.stat(CDB), os.stat(VPASSWD)
    except FileNotFoundError:
        return False
    return made.st_size >= LARGE and made.st_mtime_ns >= source.st_mtime_ns


def append_to_cdb(text):
    """cdb.tmp: the cdb with one record more."""
    from ..base import cdb_append       # only where a large domain gets a user
    files.write(NEW_CDB, b"".join(cdb_append.appended(files.read(CDB), *split(text))), PRIVATE)


def write_cdb(lines):
    """cdb.tmp, complete and on the disk."""
    files.remove(NEW_CDB)
    fd = os.open(NEW_CDB, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        cdb.write(fd, (split(text) for text in lines if text))
    finally:
        os.close(fd)


def read_lines():
    """The lines of vpasswd in the current directory; none if there is no file."""
    lines = (files.read(VPASSWD) or b"").split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def split(text):
    """(name, the rest) of a vpasswd line."""
    name, _, rest = text.partition(b":")
    return name, rest


def name_of(text):
    return text.partition(b":")[0]


def position(lines, name):
    """Where the line of `name` is. Raises Refused USER_DOES_NOT_EXIST."""
    for place, text in enumerate(lines):
        if text.startswith(name) and name_of(text) == name:
            return place
    raise Refused("USER_DOES_NOT_EXIST")


def changed(text, function):
    """The line after function(account)."""
    account = parse(*split(text))
    function(account)
    return line(account, keeps_clear())


def keeps_clear():
    """True if clear passwords are kept."""
    from . import home                  # the store is used without options where nothing is written
    return home.enabled(b"clear-passwd")
