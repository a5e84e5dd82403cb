"""Lines of domains in users/assign, rcpthosts, virtualdomains: inserted in their order, removed, always whole.

The order is that of the last two labels, then of the other labels from the left: mail.zzz.example sorts as
zzz.example.mail. What stands before the name (+ or =) and after it (-, :...) does not count.
Source: vpopmail, as recorded.
"""
import os

from ..base import cdb, control, errors, home
from ..users import assign as table
from . import files

MODE = 0o644
FEW = 50                                # from so many lines in rcpthosts on, domains go to morercpthosts


def key(line):
    """What a line sorts by."""
    name = line.partition(b":")[0]
    if name[:1] in (b"+", b"="):
        name = name[1:]
    labels = name.removesuffix(b"-").split(b".")
    return b".".join(labels[-2:] + labels[:-2])


def insert(lines, line, path):
    """The lines with one more, in its place; lines that are out of order are sorted, with a notice."""
    keys = [key(each) for each in lines]
    if any(first > second for first, second in zip(keys, keys[1:])):
        errors.say(b"NOTICE: Out of order entries found in ", path, b"\n   Sorting...\n")
        lines = sorted(lines, key=key)
        keys = [key(each) for each in lines]
    if line in lines:
        return lines
    place = next((place for place, each in enumerate(keys) if each > key(line)), len(lines))
    return [*lines[:place], line, *lines[place:]]


def read(path):
    """The lines of a file that are not empty; none if there is no file."""
    return [line for line in (files.read(path) or b"").split(b"\n") if line]


def form(lines):
    return b"".join(line + b"\n" for line in lines)


class Edited:
    """with Edited("rcpthosts") as lines: lines.found may be changed; the new file is put in place at the end,
    under vpopmail's lock, if anything changed or the file was not there. `path`, `new`: the file, and what it is
    written as first (whoever holds the lock overwrites what a killed program left there); `compiled`: the cdb that is
    made from it, or None."""

    compiled = None

    def __init__(self, name, directory="control"):
        self.path = os.fsencode(home.path(directory, name))
        self.new = self.path + b".tmp"
        self._lock = files.Locked(self.path + b".lock")

    def __enter__(self):
        self._lock.__enter__()
        try:
            self.exists = os.path.exists(self.path)
            self.found = read(self.path)
            self._before = list(self.found)
        except BaseException:
            self._lock.__exit__()
            raise
        return self

    def __exit__(self, problem, *rest):
        try:
            if problem is None and (self.found != self._before or not self.exists or self.stale()):
                self.put()
        finally:
            self._lock.__exit__()

    def stale(self):
        """True if a crash came between the file and its cdb, or somebody edited the file."""
        if not self.compiled:
            return False
        try:
            return os.stat(self.compiled).st_mtime_ns < os.stat(self.path).st_mtime_ns
        except FileNotFoundError:
            return True

    def put(self):
        files.replace(self.path, form(self.found), MODE, self.new)

    def put_both(self, text, records):
        """The file and its cdb: both are on the disk before the first is renamed, and the cdb is not the older one."""
        temporary = self.compiled + b".tmp"
        files.write(self.new, text, MODE)
        try:
            write_cdb(temporary, records)
        except BaseException:
            files.remove(self.new)
            files.remove(temporary)
            raise
        os.rename(self.new, self.path)
        os.rename(temporary, self.compiled)
        files.sync_directory(os.path.dirname(self.path))

    def insert(self, line):
        self.found = insert(self.found, line, self.path)

    def remove(self, line):
        """Take away every line like this one; False if there was none."""
        before = len(self.found)
        self.found = [each for each in self.found if each != line]
        return len(self.found) != before


class Assign(Edited):
    """users/assign without its last line (a dot); users/cdb is made with it."""

    def __init__(self):
        super().__init__("assign", "users")
        self.compiled = os.fsencode(home.path("users", "cdb"))

    def __enter__(self):
        super().__enter__()
        end = next((place for place, line in enumerate(self.found) if line.startswith(b".")), len(self.found))
        self.found = self.found[:end]
        self._before = list(self.found)
        return self

    def put(self):
        text = form([*self.found, b"."])
        self.put_both(text, table.records(text))


class MoreRcpthosts(Edited):
    """morercpthosts and its cdb; both go when the last line does."""

    def __init__(self):
        super().__init__("morercpthosts")
        self.compiled = self.path + b".cdb"

    def __exit__(self, problem, *rest):
        if problem is None and not self.exists and not self.found:
            self._before = None
            return self._lock.__exit__()    # nothing there, nothing to make
        return super().__exit__(problem, *rest)

    def put(self):
        if not self.found:
            files.remove(self.compiled)
            files.remove(self.path)
            files.sync_directory(os.path.dirname(self.path))
            return
        text = form(self.found)
        self.put_both(text, ((line, b"") for line in control.entries(text.lower())))


def write_cdb(path, records):
    files.remove(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    try:
        os.fchmod(fd, MODE)
        cdb.write(fd, records)
    finally:
        os.close(fd)


def take_mail(domain, tell):
    """Let qmail-send give mail for a domain to its user; tell() lets it know; then let qmail-smtpd take such mail."""
    with Edited("rcpthosts") as hosts:
        few = len(hosts.found) < FEW or domain in hosts.found
        if few:
            hosts.insert(domain)
            give_to_owner(domain)
            tell()
    if not few:
        with MoreRcpthosts() as hosts:
            hosts.insert(domain)
            give_to_owner(domain)
            tell()


def give_to_owner(domain):
    with Edited("virtualdomains") as domains:
        domains.insert(b"%b:%b" % (domain, domain))
    with Edited("locals") as names:
        names.remove(domain)


def takes_mail(domain):
    """True if take_mail() was done for a domain."""
    def has(name, line):
        return line in read(os.fsencode(home.path("control", name)))
    return has("virtualdomains", b"%b:%b" % (domain, domain)) and (
        has("rcpthosts", domain) or has("morercpthosts", domain))


def refuse_mail(domain):
    """The opposite; control/locals stays as it is."""
    with Edited("rcpthosts") as hosts:
        found = hosts.remove(domain)
    if not found:
        with MoreRcpthosts() as hosts:
            hosts.remove(domain)
    with Edited("virtualdomains") as domains:
        domains.remove(b"%b:%b" % (domain, domain))
