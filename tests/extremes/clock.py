"""A wall clock that a test sets, for a whole running system, as settimeofday(2) would set the machine's.

libfaketime is not enough: it cannot be told anything new by a process that may open no files any more, each process
sees a change up to ten seconds later than the others, and the times of files either move with the clock or do not
follow it at all. So a copy of the programs (World.add_code) begins with `shim` below. Which clock was set when stands
in a file that all of them have mapped; who asks for the time, or for the time of a file, is told what a machine whose
clock was set just so would tell. The kernel's stamps are translated by when they were made; those that a program set
itself are marked by their nanoseconds and told as they are.
"""
import mmap
import os
import struct
import time

HEAD, ENTRY = struct.Struct("=Q"), struct.Struct("=qqq")       # how many; ns since 1970 from which on, wall, monotonic
ENTRIES = 4000


class SetClock:
    """The file at `path`. wall, steady: ns by which the clocks are off now."""

    def __init__(self, path):
        with open(path, "wb+") as f:
            os.truncate(f.fileno(), HEAD.size + ENTRIES * ENTRY.size)
            self._map = mmap.mmap(f.fileno(), 0)
        os.chmod(path, 0o644)
        self.path, self.wall, self.steady = path, 0, 0

    def now(self):
        return (time.time_ns() + self.wall) // 1_000_000_000

    def set(self, seconds):
        """Somebody sets the wall clock by so much."""
        self.wall += seconds * 1_000_000_000
        self._note()

    def pass_(self, seconds):
        """So much time passes, for whoever asks a clock."""
        self.steady += seconds * 1_000_000_000
        self.set(seconds)

    def right(self):
        """Somebody sets the wall clock right: as if it had never been set, but for the time that passed."""
        self.wall = self.steady
        self._note()

    def _note(self):
        count = HEAD.unpack_from(self._map)[0]
        ENTRY.pack_into(self._map, HEAD.size + count * ENTRY.size, time.time_ns(), self.wall, self.steady)
        HEAD.pack_into(self._map, 0, count + 1)

    def apply(self, package):
        """Alter a copy of the programs."""
        with open(f"{package}/__init__.py", "a", encoding="utf-8") as f, open(__file__, encoding="utf-8") as own:
            f.write(own.read().partition("# ---- shim\n")[2] + f"\n\nshim({self.path!r})\n")


# ---- shim
def shim(path):
    """Replace what tells the time in this process and all that it forks."""
    import mmap
    import os
    import struct
    import time
    head, entry, second, mark = struct.Struct("=Q"), struct.Struct("=qqq"), 1_000_000_000, 123_457
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    shared = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    os.close(fd)
    real_ns, real_monotonic, real_gmtime, real_localtime = time.time_ns, time.monotonic, time.gmtime, time.localtime
    real_stat, real_lstat, real_fstat, real_utime, real_scandir = os.stat, os.lstat, os.fstat, os.utime, os.scandir

    def setting(number):
        return entry.unpack_from(shared, head.size + number * entry.size)

    def now_ns():
        count = head.unpack_from(shared)[0]
        return real_ns() + (setting(count - 1)[1] if count else 0)

    def monotonic():
        count = head.unpack_from(shared)[0]
        return real_monotonic() + (setting(count - 1)[2] / second if count else 0)

    def told(stamp):
        if stamp % 1_000_000 == mark:
            return stamp // second * second
        for number in range(head.unpack_from(shared)[0] - 1, -1, -1):
            since, wall, _ = setting(number)
            if since <= stamp:
                return stamp + wall
        return stamp

    def shown(found):
        atime, mtime, ctime = map(told, (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns))
        return os.stat_result((*found[:7], atime // second, mtime // second, ctime // second), {
            "st_atime": atime / second, "st_mtime": mtime / second, "st_ctime": ctime / second, "st_atime_ns": atime,
            "st_mtime_ns": mtime, "st_ctime_ns": ctime, "st_blksize": found.st_blksize, "st_blocks": found.st_blocks,
            "st_rdev": found.st_rdev})

    def utime(path, times=None, *, ns=None, **where):
        if times is not None:
            ns = tuple(int(one) * second for one in times)
        if ns is None:
            return real_utime(path, **where)
        return real_utime(path, ns=tuple(one // second * second + mark for one in ns), **where)

    class Entry:
        def __init__(self, found):
            self.found, self.name, self.path = found, found.name, found.path

        def stat(self, **how):
            return shown(self.found.stat(**how))

        def __getattr__(self, name):
            return getattr(self.found, name)

        def __fspath__(self):
            return self.path

    class Scan:
        def __init__(self, *where):
            self.entries = real_scandir(*where)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.entries.close()

        def __iter__(self):
            return self

        def __next__(self):
            return Entry(next(self.entries))

        def close(self):
            self.entries.close()

    time.time, time.time_ns, time.monotonic = (lambda: now_ns() / second), now_ns, monotonic
    time.gmtime = lambda seconds=None: real_gmtime(now_ns() / second if seconds is None else seconds)
    time.localtime = lambda seconds=None: real_localtime(now_ns() / second if seconds is None else seconds)
    os.stat = lambda path, **where: shown(real_stat(path, **where))
    os.lstat = lambda path, **where: shown(real_lstat(path, **where))
    os.fstat = lambda fd: shown(real_fstat(fd))
    os.utime, os.scandir = utime, Scan
