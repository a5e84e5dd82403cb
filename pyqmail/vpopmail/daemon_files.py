"""vpopmaild's commands for files: within the user's directory, the domain's, or, for a system administrator, any
domain's.

A path is taken apart and walked from the directory that the session may use, without following a symbolic link,
with the rights of the domain's owner. All users of a domain have the same uid, so what decides about others' mail
is out of reach: the domain's own tables, and .qmail files with anything but addresses and one's own Maildirs.
"""
import os
import stat

from ..base import netio
from . import accounts, assign, userdir
from .daemon_replies import Reply
from .place import Inside

LARGEST = 1 << 20                   # bytes of a file that are read or written
TABLES = (b"vpasswd", b".vpasswd", b".accounts", b".qmailadmin-limits", b".dir-control", b".dir_control_free", b"cdb.tmp")
INSTRUCTIONS = b".qmail"


class Target:
    """with Target(session, path, place) as (descriptor of its directory, its last name). Raises Reply, OSError."""

    def __init__(self, session, path, place):
        self._session, self._place = session, place
        self._domain, parts = self.reach(session, path.rstrip(b"/"))
        *self._way, self.name = parts
        if self.name.startswith(TABLES) or any(part in (b"..", b".") for part in parts):
            raise self.denied()

    def denied(self):
        return Reply(9, self._place, b"Not Authorized")

    def reach(self, session, path):
        """(Domain, the parts of the path below the domain's directory)."""
        level = session.level()
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
    with Target(session, rest, 1101) as (at, name):
        os.mkdir(name, 0o700, dir_fd=at)


def rm_dir(session, rest):
    """Removes an empty directory, or a tree."""
    import shutil                   # a tree is rarely removed
    with Target(session, rest, 1201) as (at, name):
        if not stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            raise NotADirectoryError(20, "not a directory")
        shutil.rmtree(name, dir_fd=at)


def list_dir(session, rest):
    with Target(session, rest, 1301) as (at, name):
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        try:
            with os.scandir(fd) as entries:
                return sorted(b"%b %b" % (os.fsencode(entry.name), kind(entry)) for entry in entries
                              if "\n" not in entry.name)
        finally:
            os.close(fd)


def kind(entry):
    if entry.is_dir(follow_symlinks=False):
        return b"dir"
    return b"file" if entry.is_file(follow_symlinks=False) else b"other"


def rm_file(session, rest):
    with Target(session, rest, 1401) as (at, name):
        os.unlink(name, dir_fd=at)


def rename_file(session, rest):
    words = rest.split()
    if len(words) != 2:
        raise Reply(17, 2901, b"Two names required")
    new = Target(session, words[1], 2902)
    if new.name.startswith(INSTRUCTIONS) and session.level() != "system":
        raise new.denied()          # it would get around what write_file checks
    with Target(session, words[0], 2903) as (at, name):
        with new as (to, other):
            os.rename(name, other, src_dir_fd=at, dst_dir_fd=to)


def write_file(session, rest):
    target = Target(session, rest, 1502)
    lines = session.ask_lines()
    text = b"".join(line + b"\n" for line in lines)
    if len(text) > LARGEST:
        raise Reply(2, 1501, b"File too long")
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
    with Target(session, rest, 1601) as (at, name):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Reply(9, 1602, b"Not Authorized")
            text = netio.read_all(fd, LARGEST)
        finally:
            os.close(fd)
    lines = text.removesuffix(b"\n").split(b"\n")
    return [b".." if line.rstrip(b"\r") == b"." else line for line in lines]     # a single dot would end the answer


def stat_file(session, rest):
    with Target(session, rest, 3401) as (at, name):
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
    return [b"uid %d" % found.st_uid, b"gid %d" % found.st_gid, b"mode %o" % found.st_mode, b"size %d" % found.st_size,
            b"mtime %d" % found.st_mtime]


ALL = {work.__name__.encode(): work for work in (
    mk_dir, rm_dir, list_dir, rm_file, rename_file, write_file, read_file, stat_file)}
