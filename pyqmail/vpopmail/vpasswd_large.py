"""A change of one account of a domain that has very many.

vpasswd is still replaced as a whole, but copied by the kernel, and only the changed line passes through here. Its place
is found by halving. vpasswd.cdb gets a new user's record in place, where nobody who looks something up can
find less than before; other changes are done on a copy that takes its place. For a cdb that is current only.
"""
import os

from ..base import cdb_edit
from . import files
from .account import split
from .errors import Refused
from .vpasswd import CDB, NEW_CDB, NEW_VPASSWD, PRIVATE, VPASSWD

LONGEST = 4096                          # bytes of a line


def add(text):
    """Put the line of a new account in. Raises Refused USERNAME_EXISTS."""
    from ..base import cdb              # what looks up before
    name, rest = split(text)
    if cdb.find(CDB, name) is not None:
        raise Refused("USERNAME_EXISTS")
    with Source() as source:
        start, _ = source.find(name)
        source.splice(start, start, text)
    os.rename(NEW_VPASSWD, VPASSWD)
    if not in_place(name, rest):
        on_copy(lambda copy: copy.add_with_room(name, rest))


def in_place(name, rest):
    """Put a new record in the cdb that others are reading; False if it has no room for it."""
    fd = os.open(CDB, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if not cdb_edit.Editor(fd).add(name, rest):
            return False
        keep_younger(fd)
        os.fsync(fd)
    finally:
        os.close(fd)
    files.sync_directory(b".")
    return True


def exchange(name, function):
    """Let function(line) be the line of `name`, None for none. False, and nothing done, if the line is not where it
    should be."""
    with Source() as source:
        start, end = source.find(name)
        old = source.read(start, end).removesuffix(b"\n")
        if split(old)[0] != name:
            return False
        text = function(old)
        source.splice(start, end, text)
    os.rename(NEW_VPASSWD, VPASSWD)
    on_copy(lambda copy: copy.change(name, None if text is None else split(text)[1]))
    return True


def on_copy(edit):
    """Let edit(Editor) work on a copy of the cdb, and that take its place."""
    files.remove(NEW_CDB)
    old = os.open(CDB, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    new = os.open(NEW_CDB, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        files.copy(old, new, 0, os.fstat(old).st_size)
        edit(cdb_edit.Editor(new))
        keep_younger(new)
        os.fsync(new)
    finally:
        os.close(old)
        os.close(new)
    os.rename(NEW_CDB, CDB)
    files.sync_directory(b".")


def keep_younger(fd):
    """The open cdb is not older than vpasswd."""
    source, made = os.stat(VPASSWD).st_mtime_ns, os.fstat(fd).st_mtime_ns
    if made < source:
        os.utime(fd, ns=(source, source))


class Source:
    """with Source() as source: vpasswd, open. A change that fails leaves nothing behind."""

    def __enter__(self):
        self._fd = os.open(VPASSWD, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._size = os.fstat(self._fd).st_size
        return self

    def __exit__(self, *problem):
        os.close(self._fd)

    def read(self, start, end):
        return os.pread(self._fd, end - start, start)

    def find(self, name):
        """(start, end) of the line of `name`; where it belongs, twice, if there is none."""
        low, high = 0, self._size
        while low < high:
            start, end = self._line_at((low + high) // 2)
            here = split(self.read(start, end))[0]
            if here == name:
                return start, end
            if here < name:
                low = end
            else:
                high = start
        return low, low

    def _line_at(self, place):
        """(start, end) of the line that `place` lies in."""
        begin = max(0, place - LONGEST)
        around = os.pread(self._fd, 2 * LONGEST, begin)
        start = around.rfind(b"\n", 0, place - begin) + 1
        end = around.find(b"\n", place - begin) + 1
        return begin + start, begin + end if end else self._size

    def splice(self, start, end, text):
        """Write the new vpasswd under its temporary name, on the disk when this returns: `text` (None: nothing) stands
        where start to end was. It is younger than the cdb, or a crash now could not be told from a change done."""
        files.remove(NEW_VPASSWD)
        fd = os.open(NEW_VPASSWD, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            files.copy(self._fd, fd, 0, start)
            if start and self.read(start - 1, start) != b"\n":
                os.write(fd, b"\n")         # somebody's editor
            if text is not None:
                os.write(fd, text + b"\n")
            files.copy(self._fd, fd, end, self._size - end)
            made, now = os.stat(CDB).st_mtime_ns, os.fstat(fd).st_mtime_ns
            if now <= made:
                os.utime(fd, ns=(made + 1, made + 1))
            os.fsync(fd)
        except BaseException:
            files.remove(NEW_VPASSWD)
            raise
        finally:
            os.close(fd)
