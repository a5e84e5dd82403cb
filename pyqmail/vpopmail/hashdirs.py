"""Directories of a hundred: no directory holds so many users (or domains) that looking for one takes long.

.dir-control counts the entries. Whenever the count becomes a multiple of 100, the current directory advances:
none, 0 ... 9 A ... Z a ... z, then 0/0 0/1 ... z/z, then three levels. What is deleted lowers the count, the directory
never goes back; the directory of a deleted entry is noted in .dir_control_free and used again before all others.

Lines of .dir-control: count; level; 3; first and last index and offset of each level; the indices; the directory.
Only the count and the directory are read here. The C programs read the second number of a triple for the third,
and so write it; we write what they do.
For a domain in SQL the same numbers are in a row of dir_control (see sql.py), the free list is a file here, too.
Source: vpopmail, as recorded.
"""
from ..base import number
from . import files

CONTROL, FREE, LOCK = b".dir-control", b".dir_control_free", b".dir-control.lock"
EACH = 100
LEVELS = 3
PRIVATE = 0o600
NAMES = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class File:
    """The count and the current directory, in .dir-control of the current directory."""

    def read(self):
        """(count, current directory); (0, b"") if nothing was counted yet."""
        lines = (files.read(CONTROL) or b"").split(b"\n") + [b""] * 8
        return number.leading(lines[0])[0] or 0, lines[7].strip()

    def write(self, count, place, mode=PRIVATE):
        fresh = files.read(CONTROL) is None
        offsets = b"0 2 4" if fresh else b"0 2 2"
        first, second, third = indices(place)
        files.replace(CONTROL, b"%d\n%d\n%d\n0 0 0\n61 61 61\n%b\n%d %d %d\n%b\n" % (
            count, level(place), LEVELS, offsets, first, second, third, place), mode)


FILE = File()


def add(table=FILE):
    """Count one more in the current directory; where it belongs: b"" (here), b"0", b"0/1", ..."""
    return add_many(1, table)[0]


def add_many(number, table=FILE):
    """Count so many more, one after the other; where each belongs."""
    with files.Locked(LOCK):
        count, place = read(table)
        free = [name for name in (files.read(FREE) or b"").split(b"\n") if name]
        places = []
        for given in free[:number] + [b""] * (number - len(free)):
            count += 1
            if count % EACH == 0 and not given:
                place = after(place)
            places.append(given if given and valid(given) else place)
        if free:
            files.replace(FREE, b"".join(name + b"\n" for name in free[number:]), PRIVATE)
        table.write(count, place)
        return places


def remove(place=b"", mode=PRIVATE, table=FILE):
    """Count one less; `place` is where it was."""
    with files.Locked(LOCK):
        count, current = read(table)
        table.write(max(0, count - 1), current, mode)
        if place and valid(place):
            files.replace(FREE, (files.read(FREE) or b"") + place + b"\n", PRIVATE)


def count(table=FILE):
    """How many there are."""
    return read(table)[0]


def read(table=FILE):
    """(count, current directory) as the table has them."""
    found, place = table.read()
    return found, place if valid(place) else b""


def level(place):
    """How many levels deep a directory is, as vpopmail counts: 0 and 0/1 differ by one, none is as 0."""
    return place.count(b"/")


def indices(place):
    """The three indices that vpopmail writes for a directory."""
    steps = [NAMES.index(name) for name in place.split(b"/")] if place else [0]
    steps = [steps[0], *(step + 1 for step in steps[1:])] + [0] * LEVELS
    return steps[0], steps[1], steps[1] if level(place) < 2 else steps[2]


def after(place):
    """The directory that follows."""
    if not place:
        return NAMES[:1]
    steps = [NAMES.index(name) for name in place.split(b"/")]
    for level in reversed(range(len(steps))):
        if steps[level] + 1 < len(NAMES):
            steps[level] += 1
            break
        steps[level] = 0
    else:
        steps = [0] * min(LEVELS, len(steps) + 1)
    return b"/".join(NAMES[step:step + 1] for step in steps)


def valid(place):
    """True for the name of a hashed directory."""
    return place == b"" or len(place) <= 2 * LEVELS - 1 and all(
        len(name) == 1 and name in NAMES for name in place.split(b"/"))
