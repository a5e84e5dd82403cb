"""vpopmaild's commands for files: within the user's directory, the domain's, or, for a system administrator, any
domain's.

A path is taken apart and walked from the directory that the session may use, without following a symbolic link,
with the rights of the domain's owner. All users of a domain have the same uid, so what decides about others' mail
is out of reach: the domain's own tables, and .qmail files with anything but addresses and one's own Maildirs.
"""
import os
import stat

from ..base import netio
from . import accounts, assign, names, userdir
from .daemon_replies import Reply
from .place import Inside

LARGEST = 1 << 20                   # bytes of a file that are read or written
TABLES = (b"vpasswd", b".vpasswd", b".accounts", b".qmailadmin-limits", b".dir-control", b".dir_control_free",
          b"cdb.tmp")
INSTRUCTIONS = b".qmail"
KINDS = ((stat.S_ISREG, b"file"), (stat.S_ISDIR, b"dir"), (stat.S_ISCHR, b"chardev"), (stat.S_ISBLK, b"blkdev"),
         (stat.S_ISFIFO, b"fifo"), (stat.S_ISLNK, b"link"), (stat.S_ISSOCK, b"sock"))


class Target:
    """with Target(session, path, needed) as (descriptor of its directory, its last name). needed: the (number, place)
    of the refusal without a path. A path is absolute, or starts with an address or a domain, each standing for its
    directory. Raises Reply, OSError."""

    def __init__(self, session, path, needed):
        if not path:
            raise Reply(*needed)
        self._session = session
        if b".." in path:
            raise Reply(20, 1501)
        if b"%" in path:
            raise Reply(21, 1502)
        self._domain, parts = self.reach(self.expanded(path).rstrip(b"/"))
        *self._way, self.name = parts
        if self.name.startswith(TABLES) or b"." in parts:
            raise self.denied()

    def denied(self):
        return Reply(26, 1510 + ("system", "domain", "user").index(self._session.level()))

    def expanded(self, path):
        """The absolute path."""
        if path.startswith(b"/"):
            return path
        first, slash, rest = path.partition(b"/")
        if not slash:
            raise Reply(22, 1503)
        if b"@" in rest and b"@" not in first:
            raise Reply(23, 1504)
        if b"@" not in first:
            domain = assign.find(names.lower(first))
            if domain is None:
                raise Reply(11, 1509)
            return domain.directory + slash + rest
        try:
            user, host = names.parse(first)
        except names.BadName:
            raise Reply(24, 1505) from None
        domain = assign.find(host)
        if domain is None or not self._session.may_user(domain, user):
            raise Reply(11, 1507)
        account = accounts.store(domain).get(user)
        if account is None:
            raise Reply(25, 1506)
        return userdir.directory_of(domain, account) + slash + rest

    def reach(self, path):
        """(Domain, the parts of the path below the domain's directory)."""
        session, level = self._session, self._session.level()
        for domain in assign.everyone() if level == "system" else [session.domain]:
            root = domain.directory
            if level == "user":
                root = userdir.directory_of(session.domain, accounts.store(session.domain).get(session.user))
            if path.startswith(root + b"/") and path.startswith(domain.directory + b"/"):
                return domain, [part for part in path[len(domain.directory) + 1:].split(b"/") if part]
        raise self.denied()

    def __enter__(self):
        self._inside = Inside(self._domain)
        self._inside.__enter__()
        try:
            self._fd = walk(self._way)
        except BaseException:
            self._inside.__exit__(None, None, None)
            raise
        return self._fd, self.name

    def __exit__(self, *problem):
        os.close(self._fd)
        self._inside.__exit__(*problem)


def walk(parts):
    """A descriptor of the directory that the parts lead to from the current one."""
    fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def mk_dir(session, rest):
    with Target(session, rest, (27, 1601)) as (at, name):
        os.mkdir(name, 0o700, dir_fd=at)


def rm_dir(session, rest):
    """Removes an empty directory, or a tree."""
    import shutil                   # a tree is rarely removed
    with Target(session, rest, (27, 1701)) as (at, name):
        if not stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            raise NotADirectoryError(20, "not a directory")
        shutil.rmtree(name, dir_fd=at)


def list_dir(session, rest):
    with Target(session, rest, (27, 1801)) as (at, name):
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        try:
            with os.scandir(fd) as entries:
                return sorted(b"%b %b" % (os.fsencode(entry.name), kind(entry)) for entry in entries
                              if "\n" not in entry.name)
        finally:
            os.close(fd)


def kind(entry):
    mode = entry.stat(follow_symlinks=False).st_mode
    return next((word for test, word in KINDS if test(mode)), b"unknown")


def rm_file(session, rest):
    with Target(session, rest, (30, 1901)) as (at, name):
        os.unlink(name, dir_fd=at)


def rename_file(session, rest):
    words = rest.split()
    source = Target(session, words[0] if words else b"", (28, 3801))
    new = Target(session, words[1] if len(words) > 1 else b"", (29, 3801))
    if new.name.startswith(INSTRUCTIONS) and session.level() != "system":
        raise new.denied()          # it would get around what write_file checks
    with source as (at, name):
        with new as (to, other):
            os.rename(name, other, src_dir_fd=at, dst_dir_fd=to)


def write_file(session, rest):
    """The lines follow at once; they are taken whatever the answer is, so that none is read as a command."""
    lines = session.lines()
    target = Target(session, rest, (30, 2001))
    text = b"".join(line + b"\n" for line in lines)
    if len(text) > LARGEST:
        raise Reply(0, 2002, b"File too long")
    if target.name.startswith(INSTRUCTIONS) and session.level() != "system" and not harmless(lines):
        raise target.denied()
    with target as (at, name):
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=at)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise target.denied()
            os.ftruncate(fd, 0)
            netio.write_all(fd, text)
        finally:
            os.close(fd)


def harmless(lines):
    """True for a .qmail with comments, addresses and one's own Maildir, and nothing that runs or reaches elsewhere."""
    return all(line.startswith(b"#") or line.rstrip() == b"./Maildir/"
               or not line.lstrip(b" \t&").startswith((b"|", b"/", b".")) for line in lines)


def read_file(session, rest):
    with Target(session, rest, (30, 2101)) as (at, name):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Reply(26, 1510)
            text = netio.read_all(fd, LARGEST)
        finally:
            os.close(fd)
    lines = text.removesuffix(b"\n").split(b"\n")
    return [b".." if line.rstrip(b"\r") == b"." else line for line in lines]     # a single dot would end the answer


def stat_file(session, rest):
    with Target(session, rest, (30, 2201)) as (at, name):
        return [b"uid: %d" % os.stat(name, dir_fd=at, follow_symlinks=False).st_uid]


#  place of an error of the system's, command
ALL = {work.__name__.encode(): ("user", place, work) for place, work in (
    (1602, mk_dir), (1702, rm_dir), (1802, list_dir), (1902, rm_file), (3803, rename_file), (2002, write_file),
    (2102, read_file), (2202, stat_file))}
