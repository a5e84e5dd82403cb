"""Whether a file is still the one that was read before."""
import os


def mark(found):
    """What changes whenever a file is changed or replaced. found: from os.stat or os.fstat."""
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def which(path):
    """What tells a file or directory from all others, also from another one in its place; None where none is."""
    try:
        found = os.stat(path)
        return found.st_dev, found.st_ino
    except OSError:
        return None


def of(path):
    """The mark of the file at `path`; an errno where it cannot be looked at."""
    try:
        return mark(os.stat(path))
    except OSError as why:
        return why.errno
