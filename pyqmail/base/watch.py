"""Noticing that something in a directory changes, for the price of one system call that says "nothing".

inotify(7). It does not see what another machine does to a network file system, nor what a symbolic link points
to: whoever relies on it looks for himself from time to time.
"""
import os

from . import libc

CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800     # IN_MODIFY … IN_MOVE_SELF, not reading
ROOM = 16_384                       # bytes read at once


class Watch:
    """Watches one directory from now on. Raises OSError. Not to be shared by processes: one takes all the news."""

    def __init__(self, directory):
        self._fd = libc.call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0 or libc.call("inotify_add_watch", self._fd, os.fsencode(directory), CHANGES) < 0:
            why = libc.errno()
            if self._fd >= 0:
                os.close(self._fd)
            raise OSError(why, os.strerror(why))

    def changed(self):
        """True if anything changed since the last call."""
        try:
            os.read(self._fd, ROOM)
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True
