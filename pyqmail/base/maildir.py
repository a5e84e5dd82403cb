"""Maildirs: making one, and delivering into one (maildir(5)).

A message is written under a name in tmp/, put on the disk, and only then linked into new/. What
must stay true whatever fails, a power cut included:

- A name in new/ means a complete message. Its contents are on the disk before the link is made.
- Success is reported only when the *name* is on the disk too: fsync of the file after the link
  commits it on ext4, XFS and btrfs. (C qmail syncs before the link only and leaves the name to
  chance.) With durable.data_flusher() both together cost one journal commit.
- After a failure neither tmp/ nor new/ holds anything of it: the message will come again.

The name is TIME.N.HOST as ever: seconds since 1970, a number, the host. C qmail's number is the
pid of a process that delivers once. Ours deliver many times a second, and pids repeat between
containers that share a host name; so the number is, in digits of fixed width, the microsecond,
the pid and 32 random bits. Names in their order are messages in theirs.

Exactly once. A delivery that may come again, because whoever ordered it can die before it has
noted the success, has a Copy: a name that says which delivery it is. Whoever makes it again finds
its own copy and makes no second one:

- in new/, because the name is taken there: link() says so, and nothing else is asked;
- in new/ or cur/ under that name with flags or sizes after it (NAME:2,S  NAME,S=312:2,RS), where a
  reader has put it. That takes a listing, made only if the delivery is known to be a repeat.

A name is not believed: the copy must hold, byte for byte, what would be delivered. Two messages
that should ever come to the same name are therefore both delivered, the second under another name.
"""
import errno
import os
import stat
import time

from . import netio

RANDOM_BYTES = 4
TRIES = 3                           # names tried when one is taken
SUBDIRECTORIES = (b"tmp", b"new", b"cur")
STALE = 129_600                     # s; a delivery into tmp/ gives up after 24 h, so these belong to nobody


def name():
    """A file name that no other delivery uses: b"1795338307.65432100047113735928559.mail.example"."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    random = int.from_bytes(os.urandom(RANDOM_BYTES), "big")
    return b"%d.%06d%07d%010d.%b" % (seconds, nanoseconds // 1000, os.getpid(), random, host())


def named(number):
    """The name of a Copy: `number` (b"TIME.N") and the host."""
    return b"%b.%b" % (number, host())


def host():
    """This host's name as it stands in file names."""
    return os.fsencode(os.uname().nodename).replace(b"/", b"\\057").replace(b":", b"\\072")


class Copy:
    """What one delivery into one Maildir is called. name: from named(), the same whenever it is made again.
    repeat: True if it may have been made before."""

    __slots__ = ("name", "repeat")

    def __init__(self, name, repeat=False):
        self.name, self.repeat = name, repeat


def enter(directory):
    """A descriptor of the Maildir, for deliver(). Raises OSError if a chdir to it would fail."""
    return os.open(directory + b"/.", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def deliver(root, pieces, flush=os.fsync, suffix=b"", copy=None):
    """Deliver the bytes of `pieces` as one message; returns its name in new/.

    root: from enter(). pieces: an iterable of bytes; with `copy` it is gone through again. flush(fd) puts a
    file's contents on the disk before the name is made (see base/durable.py). suffix: ends the name
    (",S=SIZE"). copy: a Copy, if the delivery may come again; one that is there already is left as it is.
    Raises OSError, FileExistsError if every name tried was taken, and whatever `pieces` raises.
    """
    if copy and copy.repeat and (found := find(root, copy, pieces)):
        return found
    fd, tmp = create(root, suffix, copy)
    new = b"new/" + (copy.name + suffix if copy else tmp.removeprefix(b"tmp/"))
    try:
        try:
            for piece in pieces:
                netio.write_all(fd, piece)
            flush(fd)
            try:
                os.link(tmp, new, src_dir_fd=root, dst_dir_fd=root)
            except FileExistsError:
                if copy is None:
                    raise
                if found := find(root, copy, pieces):
                    return found
                new = b"new/" + name() + suffix
                os.link(tmp, new, src_dir_fd=root, dst_dir_fd=root)
        finally:
            remove(root, tmp)
        try:
            os.fsync(fd)
        except BaseException:
            remove(root, new)           # it will come again, so it must not be there twice
            raise
    finally:
        os.close(fd)
    return new.removeprefix(b"new/")


def create(root, suffix=b"", copy=None):
    """A new file in tmp/, under the name of the Copy if that is free: (descriptor, b"tmp/NAME"). Raises OSError."""
    names = [copy.name] if copy else []
    for attempt in range(1, TRIES + 1):
        tmp = b"tmp/%b%b" % (names.pop() if names else name(), suffix)
        try:
            return os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=root), tmp
        except FileExistsError:
            if attempt == TRIES:
                raise


def find(root, copy, pieces):
    """The name of the Copy in new/ or cur/, None if it is not there. It is on the disk when this returns.

    new/ is searched first: what a reader moves meanwhile goes from there to cur/, and is seen in one of them.
    Raises OSError, and whatever `pieces` raises.
    """
    wanted = os.fsdecode(copy.name)
    for part in (b"new", b"cur"):
        directory = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        try:
            found = [name for name in os.listdir(directory)
                     if name.startswith(wanted) and name[len(wanted):len(wanted) + 1] in ("", ":", ",")]
        finally:
            os.close(directory)
        for entry in map(os.fsencode, found):
            if holds(root, b"%b/%b" % (part, entry), pieces):
                return entry
    return None


def holds(root, path, pieces):
    """True if this file of the Maildir has just these contents; then it is on the disk, too. Raises OSError, and
    whatever `pieces` raises."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=root)
    except OSError as why:
        if why.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES):      # a reader's, or gone by now
            return False
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        for piece in pieces:
            if os.read(fd, len(piece)) != piece:
                return False
        if os.read(fd, 1):
            return False
        os.fsync(fd)                    # whoever made it may have died before he did
        return True
    finally:
        os.close(fd)


def remove(root, path):
    """Take a name away; one that cannot be removed changes nothing about the delivery."""
    try:
        os.unlink(path, dir_fd=root)
    except OSError:
        pass


def make(directory):
    """Make a Maildir, readable by its owner only. Raises OSError; its `filename` could not be made."""
    for path in (directory, *(directory + b"/" + part for part in SUBDIRECTORIES)):
        os.mkdir(path, 0o700)


def clean(now):
    """Remove from tmp/ of the current directory what nobody has looked at for 36 hours: deliveries that
    broke off."""
    try:
        with os.scandir(b"tmp") as entries:
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                try:
                    if now > int(entry.stat().st_atime) + STALE:
                        os.unlink(entry.path)
                except OSError as why:
                    if why.errno == errno.EROFS:
                        return
    except OSError:
        return                          # no tmp/: nothing to clean


def scan(directories, now):
    """The messages in these subdirectories of the current directory, oldest first: [(mtime, b"new/NAME")].

    A message of this very second is not there yet: another one could still sort before it. Raises
    OSError if a directory cannot be scanned; its `filename` is the directory.
    """
    found = []
    for directory in directories:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                try:
                    mtime = int(entry.stat().st_mtime)
                except OSError:
                    continue            # gone already
                if mtime < now:
                    found.append((mtime, b"%b/%b" % (directory, entry.name)))
    return sorted(found)
