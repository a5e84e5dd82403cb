"""Appending to an mbox (mbox(5), the mboxrd form: ">From " quoting can be undone).

A message is its "From " line, the text with ">" put before every line that is any number of ">"
and then "From ", a newline if the last line lacks one, and an empty line.
"""
import os

from . import lock, netio

FROM = b"From "
GREATER, NEWLINE = 0x3e, 0x0a
PATIENCE = 30                       # s to wait for the lock
WRITE_SIZE = 1 << 18                # bytes gathered before they are written


def quoted(pieces):
    """The pieces of a message with its "From " lines quoted, and ended as an mbox wants it.

    Lines may be of any length and lie across pieces: what is held back is at most four bytes that
    may begin "From ". Where a ">" goes in a row of them makes no difference, so it is put directly
    before the "From ", and the row need not be kept.
    """
    held, open_line, last = b"", True, NEWLINE     # open_line: nothing but ">" since the last newline
    for piece in pieces:
        if not piece:
            continue
        last = piece[-1]
        # One byte in front stands for what came before: a newline if a "From " may begin here.
        window = b"%b%b%b" % (b"\n" if open_line else b" ", held, piece)
        keep = next((n for n in (4, 3, 2, 1) if window.endswith(FROM[:n], 1)), 0)
        whole = window[:len(window) - keep]
        held = window[len(window) - keep:]
        open_line = whole.rstrip(b">")[-1] == NEWLINE
        yield mark(whole)[1:]
    yield held + (b"\n" if last == NEWLINE else b"\n\n")


def mark(window):
    """`window` with a ">" before each "From " that follows a newline and any number of ">".
    Its first byte must not be ">"."""
    at = window.find(FROM)
    if at < 0:
        return window
    parts, done = [], 0
    while at >= 0:
        before = at - 1
        while window[before] == GREATER:
            before -= 1
        if window[before] == NEWLINE:
            parts += window[done:at], b">"
            done = at
        at = window.find(FROM, at + len(FROM))
    parts.append(window[done:])
    return b"".join(parts)


def open_append(path):
    """The mbox, open for appending, made with mode 0600 if it is not there. Does not wait for the
    reader of a FIFO. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def append(fd, start, pieces, patience=PATIENCE):
    """Append one message: `start` (the "From " line and whatever precedes the message), then the
    pieces, quoted. It is on the disk when this returns.

    Waits `patience` seconds for an exclusive lock; a file that cannot be locked is written all the
    same, as by qmail. After a failure the file is cut back to its old length if it was locked:
    without a lock that could cut off somebody else's message. Raises OSError, deadline.Expired (the
    lock), and whatever `pieces` raises.
    """
    locked = lock.exclusive(fd, patience)
    try:
        length = os.lseek(fd, 0, os.SEEK_END)
    except OSError:
        length = None                   # a FIFO
    try:
        gathered = [start]
        size = len(start)
        for piece in quoted(pieces):
            gathered.append(piece)
            size += len(piece)
            if size >= WRITE_SIZE:
                netio.write_all(fd, b"".join(gathered))
                gathered, size = [], 0
        netio.write_all(fd, b"".join(gathered))
        os.fsync(fd)
    except BaseException:
        if locked and length is not None:
            cut_back(fd, length)
        raise


def cut_back(fd, length):
    try:
        os.ftruncate(fd, length)
    except OSError:
        pass                            # a device; or nothing that could still be done about it
