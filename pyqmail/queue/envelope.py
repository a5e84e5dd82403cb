"""Envelope files: records of one letter and an address, each ended by NUL.

todo and intd hold `u` uid, `p` pid, `F` sender, `T` recipient …; info holds `F` sender; local and
remote hold `T` recipient (to do) or `D` recipient (done). A last record without its NUL is not
there: whoever wrote it was interrupted. Names are relative to queue/. Source: qmail's INTERNALS.
"""
import os

from . import names

PIECE = 8192                        # bytes a read
LONGEST = 1 << 20                   # bytes of one record; qmail-queue writes at most 1003


class TooLong(OSError):
    """A record beyond LONGEST: no program of qmail's wrote it."""


def records(fd, piece=PIECE):
    """Yields (offset, record) for every complete record; record without its NUL, offset that of its
    letter in the file. Memory stays bounded whatever the file holds. Raises OSError."""
    offset, held = 0, b""
    while data := os.read(fd, piece):
        found = (held + data).split(b"\0")
        held = found.pop()
        if len(held) > LONGEST:
            raise TooLong(f"record of more than {LONGEST} bytes")
        for record in found:
            yield offset, record
            offset += len(record) + 1


def info(number):
    """(sender, birth): what info/S/N says; birth in seconds since 1970 is when the message came.

    None if the file is missing, cannot be read, or does not begin with a complete `F` record.
    """
    try:
        fd = os.open(names.split("info", number), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        birth = os.fstat(fd).st_mtime_ns // 1_000_000_000
        for _, record in records(fd, 1024):
            return (record[1:], birth) if record[:1] == b"F" else None
    except OSError:
        pass
    finally:
        os.close(fd)
    return None
