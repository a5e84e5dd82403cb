"""Putting a file's contents on the disk without a journal commit of their own.

A new message costs two things to make safe: its contents, and the name under which it is found.
`fsync` before the name is made and `fsync` after it are two commits. On ext4 and XFS one is enough:
sync_file_range(2) writes the blocks and waits for them; extents and size are then part of the
running transaction or an earlier one, and the name, made afterwards, can only get to the disk
together with them or later (the commit flushes the disk's cache first). The one fsync that follows
the name commits everything. So whoever finds the name after a power cut finds the whole contents.
For the same reason a removal that may only be seen after other files have got their names needs no commit between.

That order is a property of these file systems' journals. On every other one (btrfs completes extents after
the write-back that sync_file_range waits for), and on an ext4 that was made without a journal, flush() is
fsync, and each name needs its own.
"""
import os

WRITE, WRITE_AND_WAIT = 2, 1 | 2 | 4   # sync_file_range: write; wait for writes under way, write, wait
JOURNALED = ("ext3", "ext4")        # if they have a journal, and that not for contents
MOUNTS, SYS = "/proc/self/mountinfo", "/sys"


class Disk:
    """How files get to the disk where nothing is known about the file system: each by itself."""

    def start(self, fd):
        """Begin to write out the contents, without waiting; flush() must follow."""

    def flush(self, fd):
        """The contents are on the disk, or will be with the next commit. Raises OSError."""
        os.fsync(fd)

    def commit(self, fds, new_names=True):
        """The files' newest names are on the disk, and so is what flush() left to do for them, which has been called
        for each. new_names: whether they have got names since. Raises OSError."""
        if new_names:               # those they had before went along with the contents
            for fd in fds:
                os.fsync(fd)

    def before(self, fds, device):
        """What is done from now on to the file system of this number (st_dev) gets to the disk no sooner than these
        files, contents and names. flush() has been called for each. Raises OSError."""
        self.commit(fds, new_names=False)


class Journal(Disk):
    """On ext4 and XFS: contents without a commit, and one commit for many files. fsync of a file commits what the
    journal has had until that file's own last change; so that one is touched after all others are written."""

    def __init__(self, libc):
        import ctypes               # see best()
        self._range = libc.sync_file_range
        self._range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
        look_around()

    def start(self, fd):
        self._range(fd, 0, 0, WRITE)

    def flush(self, fd):
        if not has_journal(fd) or self._range(fd, 0, 0, WRITE_AND_WAIT) != 0:
            os.fsync(fd)

    def commit(self, fds, new_names=True):
        for on_one in by_file_system(fds).values():
            if has_journal(on_one[-1]):
                os.utime(on_one[-1])
                os.fsync(on_one[-1])
            else:
                super().commit(on_one, new_names)

    def before(self, fds, device):
        found = by_file_system(fds)
        if found.keys() != {device} or not has_journal(fds[-1]):
            self.commit(fds, new_names=False)


def by_file_system(fds):
    """{st_dev: [descriptor, in order]}."""
    found = {}
    for fd in fds:
        found.setdefault(os.fstat(fd).st_dev, []).append(fd)
    return found


def has_journal(fd):
    """True if this file's file system is known to keep that order."""
    device = os.fstat(fd).st_dev
    if device not in _known:
        look_around()               # mounted since; or we are confined and cannot see it any more
    return _known.setdefault(device, False)


def look_around():
    """Learn what is mounted: to be called before a process is confined."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as f:
            mounted = [line.partition(" - ") for line in f]
    except OSError:
        return                      # each step an fsync, then
    for mount, _, system in mounted:
        try:
            major, minor = map(int, mount.split()[2].split(":"))
            kind, _, options = system.split()[:3]
        except (ValueError, IndexError):
            continue
        _known[os.makedev(major, minor)] = kind == "xfs" or (
            kind in JOURNALED and "data=journal" not in options.split(",") and _has_ext_journal(major, minor))


def _has_ext_journal(major, minor):
    """ext4 may have been made without one."""
    try:
        name = os.path.basename(os.readlink(f"{SYS}/dev/block/{major}:{minor}"))
        with open(f"{SYS}/fs/ext4/{name}/journal_task", encoding="ascii") as f:
            return f.read().strip().isdigit()
    except OSError:
        return False


_known = {}                         # device number: what has_journal() says


def best():
    """A Journal if this system has what it takes, else a Disk. Costs an import of ctypes (2-7 ms): for long-lived
    processes; others use Disk()."""
    import ctypes                   # only long-lived programs come here
    try:
        return Journal(ctypes.CDLL(None, use_errno=True))
    except (OSError, AttributeError):
        return Disk()


def data_flusher():
    """flush(fd) of best()."""
    return best().flush
