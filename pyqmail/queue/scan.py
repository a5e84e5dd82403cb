"""Going through the directories of the queue, piece by piece and however large they are."""
import os

from ..base import number as numbers
from .names import SPLIT


def number(name):
    """The message number that a file name (bytes) stands for; None for names not of digits only.
    Numbers are unsigned 64-bit, as in qmail."""
    return numbers.unsigned(name) if name.isdigit() and len(name) < 100 else None


def in_place(directory, name):
    """The number of a file found as KIND/directory/name if it belongs there, else None."""
    found = number(name)
    return found if found is not None and found % SPLIT == directory and name == b"%d" % found else None


class SplitScan:
    """The entries of KIND/0 to KIND/22, in that order.

    Each `next()` gives one (directory number, file name as bytes); StopIteration at the end. A
    directory that cannot be listed raises OSError with `where` naming it; the next call tries the
    same one again.
    """

    def __init__(self, kind):
        self.kind, self.directory, self._entries = kind, 0, None

    @property
    def where(self):
        return f"{self.kind}/{self.directory}"

    def __iter__(self):
        return self

    def __next__(self):
        while self.directory < SPLIT:
            if self._entries is None:
                self._entries = os.scandir(os.fsencode(self.where))
            entry = next(self._entries, None)
            if entry is not None:
                return self.directory, entry.name
            self._entries = None
            self.directory += 1
        raise StopIteration


def count_files(path, trouble):
    """How many regular files are anywhere below a directory. What cannot be listed counts as empty, and
    trouble(OSError) is told."""
    total, waiting = 0, [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        total += 1
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError as why:
            trouble(why)
    return total
