"""Directories of a hundred: no directory holds so many users (or domains) that looking for one takes long.

.dir-control counts the entries. Whenever the count becomes a multiple of 100, the current directory advances:
none, 0 ... 9 A ... Z a ... z, then 0/0 0/1 ... z/z, then three levels. What is deleted lowers the count, the directory
never goes back; the directory of a deleted entry is noted in .dir_control_free and used again before all others.

Lines of .dir-control: count; level; 3; first and last index and offset of each level; the indices; the directory.
Only the count and the directory are read here. The C programs read the second number of a triple for the third,
and so write it; we write what they do.
Source: vpopmail, as recorded.
"""
from ..base import number
from . import files

CONTROL, FREE, LOCK = b".dir-control", b".dir_control_free", b".dir-control.lock"
EACH = 100
LEVELS = 3
PRIVATE = 0o600
NAMES = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def add():
    """Count one more in the current directory; where it belongs: b"" (here), b"0", b"0/1", ..."""
    with files.Locked(LOCK):
        count, place = read()
        count += 1
        free = (files.read(FREE) or b"").split(b"\n")
        if free[0]:
            files.replace(FREE, b"\n".join(free[1:]), PRIVATE)
            write(count, place)
            return free[0] if valid(free[0]) else place
        if count % EACH == 0:
            place = after(place)
        write(count, place)
        return place


def remove(place=b"", mode=PRIVATE):
    """Count one less; `place` is where it was."""
    with files.Locked(LOCK):
        count, current = read()
        write(max(0, count - 1), current, mode)
        if place and valid(place):
            files.replace(FREE, (files.read(FREE) or b"") + place + b"\n", PRIVATE)


def count():
    """How many there are."""
    return read()[0]


def read():
    """(count, current directory); (0, b"") if nothing was counted yet."""
    lines = (files.read(CONTROL) or b"").split(b"\n") + [b""] * 8
    place = lines[7].strip()
    return number.leading(lines[0])[0] or 0, place if valid(place) else b""


def write(count, place, mode=PRIVATE):
    fresh = files.read(CONTROL) is None
    level = max(0, place.count(b"/"))
    steps = [NAMES.index(name) for name in place.split(b"/")] if place else [0]
    steps = [steps[0], *(step + 1 for step in steps[1:])] + [0] * LEVELS
    offsets = b"0 2 4" if fresh else b"0 2 2"
    files.replace(CONTROL, b"%d\n%d\n%d\n0 0 0\n61 61 61\n%b\n%d %d %d\n%b\n" % (
        count, level, LEVELS, offsets, steps[0], steps[1], steps[1] if level < 2 else steps[2], place), mode)


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
