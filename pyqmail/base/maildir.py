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
"""
import errno
import os
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
    host = os.fsencode(os.uname().nodename).replace(b"/", b"\\057").replace(b":", b"\\072")
    return b"%d.%06d%07d%010d.%b" % (seconds, nanoseconds // 1000, os.getpid(), random, host)


def enter(directory):
    """A descriptor of the Maildir, for deliver(). Raises OSError if a chdir to it would fail."""
    return os.open(directory + b"/.", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def deliver(root, pieces, flush=os.fsync, suffix=b""):
    """Deliver the bytes of `pieces` as one message; returns its name in new/.

    root: from enter(). pieces: an iterable of bytes. flush(fd) puts a file's contents on the disk
    before the name is made (see base/durable.py). suffix: ends the name (",S=SIZE"). Raises OSError, FileExistsError if every name
    tried was taken, and whatever `pieces` raises.
    """
    fd, tmp, new = create(root, suffix)
    try:
        try:
            for piece in pieces:
                netio.write_all(fd, piece)
            flush(fd)
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


def create(root, suffix=b""):
    """A new file in tmp/: (descriptor, b"tmp/NAME", b"new/NAME"), NAME with `suffix`. Raises OSError."""
    for attempt in range(1, TRIES + 1):
        unique = name() + suffix
        tmp, new = b"tmp/" + unique, b"new/" + unique
        try:
            return os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=root), tmp, new
        except FileExistsError:
            if attempt == TRIES:
                raise


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
