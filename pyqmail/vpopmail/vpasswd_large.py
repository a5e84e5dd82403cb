"""A change of one account of a domain that has very many.

vpasswd is still replaced as a whole, but copied by the kernel, and only the changed line passes through here. Its place
is found by halving. vpasswd.cdb gets a new user's record in place, where nobody who looks something up can
find less than before; other changes are done on a copy that takes its place.

What can fail is done before vpasswd is renamed. After that a new user's record takes 8 bytes in the cdb, and what a
power cut leaves of these nobody knows: until they are on the disk, vpasswd is dated ahead of all that may happen to the
cdb, so that this counts as too old (see vpasswd.py).

For a cdb that is current only. Where it turns out that one of the files is not what it should be, nothing is done, and
the answer is False: whoever asked makes both anew.
"""
import os
import time

from ..base import cdb, cdb_edit, netio
from ..base.errors import Temporary
from . import files
from .account import split
from .errors import Refused
from .vpasswd import CDB, NEW_CDB, NEW_VPASSWD, PRIVATE, VPASSWD

LONGEST = 4096                          # bytes of a line
AHEAD = 60 * 10**9                      # ns


class Unfit(Exception):
    """Not here: the files are not what they should be."""


def add(text):
    """Put the line of a new account in. Raises Refused USERNAME_EXISTS."""
    name, rest = split(text)
    fd = os.open(CDB, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        with Source() as source:
            start, end = source.find(name)
            if (start < end) != (cdb.find(CDB, name) is not None):
                raise Unfit
            if start < end:
                raise Refused("USERNAME_EXISTS")
            editor = cdb_edit.Editor(fd)
            slot = editor.append(name, rest)
            source.splice(start, end, text, AHEAD if slot else 0)
        if slot:
            os.rename(NEW_VPASSWD, VPASSWD)
            editor.fill(slot)
            os.fsync(fd)
            made = os.fstat(fd).st_mtime_ns
            os.utime(VPASSWD, ns=(made, made))
        else:
            edit_copy(lambda copy: copy.add_with_room(name, rest))
            both()
    except (Unfit, Temporary):
        return withdraw()
    except BaseException:
        withdraw()
        raise
    finally:
        os.close(fd)
    files.sync_directory(b".")
    return True


def exchange(name, function):
    """Let function(line) be the line of `name`, None for none."""
    try:
        with Source() as source:
            start, end = source.find(name)
            if start == end:
                raise Unfit
            text = function(source.read(start, end).removesuffix(b"\n"))
            source.splice(start, end, text)
        edit_copy(lambda copy: copy.change(name, None if text is None else split(text)[1]))
        both()
    except (Unfit, Temporary):
        return withdraw()
    except BaseException:
        withdraw()
        raise
    files.sync_directory(b".")
    return True


def withdraw():
    """Nothing was done, or not all, and nothing of it shall lie about: False."""
    for name in (NEW_VPASSWD, NEW_CDB):
        files.remove(name)
    return False


def edit_copy(edit):
    """Let edit(Editor) make the new cdb of a copy; on the disk when this returns. Raises Unfit if it says False."""
    files.remove(NEW_CDB)
    old = os.open(CDB, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    new = os.open(NEW_CDB, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        files.copy(old, new, 0, os.fstat(old).st_size)
        if edit(cdb_edit.Editor(new)) is False:
            raise Unfit
        source, made = os.stat(NEW_VPASSWD).st_mtime_ns, os.fstat(new).st_mtime_ns
        if made < source:
            os.utime(new, ns=(source, source))
        os.fsync(new)
    finally:
        os.close(old)
        os.close(new)


def both():
    """The new files take the places of the old ones."""
    os.rename(NEW_VPASSWD, VPASSWD)
    os.rename(NEW_CDB, CDB)


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
        """(start, end) of the line of `name`, the first if there are several; where it belongs, twice, if there is
        none. Raises Unfit."""
        low, high, found = 0, self._size, None
        while low < high:
            start, end = self._line_at((low + high) // 2)
            here = split(self.read(start, end))[0]
            if here < name:
                low = end
            else:
                high, found = start, end if here == name else None
        return low, found or low

    def _line_at(self, place):
        """(start, end) of the line that `place` lies in. Raises Unfit for one that is longer than any of ours."""
        begin = max(0, place - LONGEST)
        around = os.pread(self._fd, 2 * LONGEST, begin)
        start = around.rfind(b"\n", 0, place - begin) + 1
        end = around.find(b"\n", place - begin) + 1
        if begin and not start or not end and begin + len(around) < self._size:
            raise Unfit
        return begin + start, begin + end if end else self._size

    def splice(self, start, end, text, ahead=0):
        """Write the new vpasswd under its temporary name, on the disk when this returns: `text` (None: nothing) stands
        where start to end was. It is younger than the cdb, or a crash now could not be told from a change done, and
        dated `ahead` ns."""
        files.remove(NEW_VPASSWD)
        fd = os.open(NEW_VPASSWD, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            files.copy(self._fd, fd, 0, start)
            if start and self.read(start - 1, start) != b"\n":
                netio.write_all(fd, b"\n")  # somebody's editor
            if text is not None:
                netio.write_all(fd, text + b"\n")
            files.copy(self._fd, fd, end, self._size - end)
            dated = max(os.stat(CDB).st_mtime_ns + 1, time.time_ns()) + ahead
            os.utime(fd, ns=(dated, dated))
            os.fsync(fd)
        except BaseException:
            files.remove(NEW_VPASSWD)
            raise
        finally:
            os.close(fd)
