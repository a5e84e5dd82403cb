"""Maildir++ quotas: how much mail a Maildir may hold, and the file `maildirsize` that knows how much it does.

Line 1 of maildirsize is the quota, `BYTESS`, `NC` or `BYTESS,NC`; every other line, `BYTES COUNT`, is something
that came or went. Lines are appended in one write, so programs need no lock, on network file systems too. Because
others may remove messages without a word, the sum is counted anew from the messages when the file is long or old,
and before mail is refused, unless the file holds nothing but a fresh count.

Counted are new/ and cur/ of the Maildir and of its folders (.NAME), but neither .Trash, nor names that start with
a dot, nor messages flagged T. A size is in the name (`,S=N`); stat is asked only where it is not.
Source: Maildir++, and vpopmail's and Courier's files as recorded.
"""
import os
import time

from . import maildir, netio

NAME = b"maildirsize"
LONGEST = 5120                      # bytes; from this size on the file is counted anew
OLD = 900                           # s; an older file is counted anew
MODE = 0o644                        # less the umask


class Quota:
    """bytes, count: what may be held at most, 0 for no limit."""

    __slots__ = ("bytes", "count")

    def __init__(self, size=0, count=0):
        self.bytes, self.count = size, count

    def __bool__(self):
        return bool(self.bytes or self.count)

    def admits(self, usage, size, count):
        """True if `size` bytes in `count` messages more still fit."""
        return (not self.bytes or usage.bytes + size <= self.bytes) and (
            not self.count or usage.count + count <= self.count)

    def percent(self, usage):
        """How full, the fuller of both kinds; 0 without a limit."""
        by_size = usage.bytes * 100 // self.bytes if self.bytes else 0
        by_count = usage.count * 100 // self.count if self.count else 0
        return max(by_size, by_count, 0)


class Usage:
    """bytes and count held; `lines`: how many lines of maildirsize they are the sum of."""

    __slots__ = ("bytes", "count", "lines")

    def __init__(self, size=0, count=0, lines=1):
        self.bytes, self.count, self.lines = size, count, lines


def parse(text):
    """The Quota that a text in the stored form means. What is no number with S or C (or nothing: bytes) is no limit."""
    quota = Quota()
    for part in text.strip().split(b","):
        digits, kind = (part[:-1], part[-1:].upper()) if not part[-1:].isdigit() else (part, b"S")
        if not digits.isdigit() or len(digits) > 18:
            continue
        if kind == b"S":
            quota.bytes = int(digits)
        elif kind == b"C":
            quota.count = int(digits)
    return quota


def read(directory):
    """(first line, Usage, mtime) of the maildirsize in a Maildir; None if there is none, or it is long or broken.
    Raises OSError."""
    path = directory + b"/" + NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        mtime = os.fstat(fd).st_mtime
        data = netio.read_all(fd, LONGEST)
    finally:
        os.close(fd)
    if len(data) >= LONGEST:
        return None
    usage = sum_of(data)
    return usage and (data.partition(b"\n")[0], usage, mtime)


def sum_of(data):
    """The Usage that the contents of a maildirsize amount to; None if a line is not as it must be."""
    usage = Usage(lines=0)
    lines = data.split(b"\n")
    for line in lines[1:-1] + ([lines[-1]] if len(lines) > 1 and lines[-1] else []):
        numbers = line.split()
        if not numbers:
            continue
        try:
            size, count = map(int, numbers)
        except ValueError:
            return None
        usage.bytes, usage.count, usage.lines = usage.bytes + size, usage.count + count, usage.lines + 1
    return usage if usage.lines else None


def first_line(directory):
    """The quota text a Maildir carries itself, b"" if none. Raises OSError."""
    try:
        return netio.read_file(directory + b"/" + NAME, LONGEST).partition(b"\n")[0]
    except FileNotFoundError:
        return b""


def usage(directory, text, fits=None, now=None):
    """The Usage of a Maildir, whose quota is `text`; maildirsize is made anew where it must not be believed.

    fits(usage): the verdict that is to be drawn from it; a negative one is drawn from a count of the messages, not
    from a sum that may have missed what others removed. Raises OSError.
    """
    now = time.time() if now is None else now
    found = read(directory)
    if found is None:
        return recount(directory, text)
    _, known, mtime = found
    if abs(now - mtime) > OLD or fits and known.lines > 1 and not fits(known):
        return recount(directory, text)
    return known


def recount(directory, text):
    """Count the messages and put a new maildirsize in the place of the old one; returns the Usage. Raises OSError."""
    counted = count(directory)
    temporary = b"%b/tmp/%b" % (directory, temporary_name())
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        netio.write_all(fd, b"%b\n%d %d\n" % (text, counted.bytes, counted.count))
        os.rename(temporary, directory + b"/" + NAME)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    return counted


def temporary_name():
    stamp, number, host = maildir.name().split(b".", 2)
    return b"%b.%b_NeWmAiLdIrSiZe.%b" % (stamp, number, host)


def count(directory):
    """The Usage of a Maildir and its folders by its messages. Raises OSError."""
    counted = Usage()
    with os.scandir(directory) as entries:
        folders = [entry.path for entry in entries
                   if entry.name.startswith(b".") and entry.name != b".Trash" and entry.is_dir()]
    for folder in (directory, *folders):
        for part in (b"new", b"cur"):
            try:
                with os.scandir(folder + b"/" + part) as entries:
                    for entry in entries:
                        add_message(counted, entry)
            except FileNotFoundError:
                continue            # a folder that is being made or removed
    return counted


def add_message(counted, entry):
    name, _, flags = entry.name.partition(b":2,")
    if name.startswith(b".") or b"T" in flags:
        return
    size = size_in(name)
    if size is None:
        try:
            size = entry.stat().st_size
        except OSError:
            return                  # removed meanwhile
    counted.bytes += size
    counted.count += 1


def size_in(name):
    """The size that a message's file name gives (",S=123"), None if it gives none."""
    for part in name.partition(b":")[0].split(b",")[1:]:
        if part.startswith(b"S=") and part[2:].isdigit():
            return int(part[2:])
    return None


def add(directory, text, size, messages=1):
    """Note that messages came, or, with negative numbers, went. Makes the file if it is not there. Raises OSError."""
    line = b"%d %d\n" % (size, messages)
    path = directory + b"/" + NAME
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        recount(directory, text)    # which finds this message as well
        return
    try:
        netio.write_all(fd, line)
    finally:
        os.close(fd)
