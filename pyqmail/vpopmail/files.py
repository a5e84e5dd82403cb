"""Changing a file that others read: under vpopmail's lock, and always whole.

The lock is an fcntl write lock on FILE.lock (in a domain: .vpasswd.lock), as the C programs take it, so both
keep out of each other's way. The new contents are written beside the file, put on the disk and renamed over
it: a crash at any moment leaves the old file or the new one.
"""
import fcntl
import os
import stat
import time

from ..base import netio
from ..base.errors import Temporary

PATIENCE, PAUSE = 18, 0.02          # s for a lock, as vpopmail waits; s between two tries
LARGEST = 1 << 30                   # bytes of any file here
PIECE = 1 << 20


class Locked:
    """with Locked(path): hold the lock file `path` (bytes, made with mode 0600). shared: with all others who hold it
    so. Raises Temporary when somebody else held it for as long as vpopmail waits, OSError if it cannot be made."""

    def __init__(self, path, shared=False):
        self._path, self._how = path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX

    def __enter__(self):
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._wait()
        except BaseException:
            os.close(self._fd)
            raise

    def _wait(self):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return fcntl.lockf(self._fd, self._how | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= end:
                    raise Temporary("File busy try again later!") from None
                time.sleep(PAUSE)

    def __exit__(self, *problem):
        os.close(self._fd)              # gives the lock back


def replace(path, data, mode, temporary=None):
    """Make `data` the contents of the file `path`, with exactly `mode`. temporary: the name to write to first,
    PATH.PID otherwise; what a killed program left there is overwritten. Raises OSError."""
    temporary = temporary or b"%b.%d" % (path, os.getpid())
    write(temporary, data, mode)
    os.rename(temporary, path)
    sync_directory(os.path.dirname(path) or b".")


def write(path, data, mode):
    """Write a new file and put it on the disk. Raises OSError."""
    remove(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(fd, mode)
        netio.write_all(fd, data)
        os.fsync(fd)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(fd)


def read(path):
    """The contents of a file, None if there is none. Raises OSError; Temporary for what is no file of ours."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(fd, "rb", buffering=0) as f:      # in one piece: a large domain's files are megabytes
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise Temporary(f"{os.fsdecode(path)} is not a file, or too large")
        return f.readall()


def copy(source, target, place, size):
    """Append `size` bytes of one open file, from `place` on, to another. The kernel does it where it can. Raises
    OSError."""
    end = place + size
    while place < end:
        try:
            done = os.copy_file_range(source, target, end - place, place)
        except OSError:                 # not on every file system
            data = os.pread(source, min(PIECE, end - place), place)
            netio.write_all(target, data)
            done = len(data)
        if not done:
            raise Temporary("a file became shorter while it was copied")
        place += done


def remove(path):
    """Take a file away, if it is there. Raises OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def sync_directory(path):
    """Put the names in a directory on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
