"""run/qmail-send/suspects: messages that were in hand when a program died, those that are set aside for it, and those
that somebody holds.

One line a suspicion: STAGE NUMBER MARK DEATHS. STAGE says at what (todo, bounce, local, remote, loop: see
send/hands.py), MARK is the modification time of mess/S/N in nanoseconds, for numbers come again. A message with
DEATHS of TRIES or more is set aside: qmail-send leaves it in the queue as it is until its lines are
gone (`qmailctl release`). Only our qmail-send looks here: C's goes on with every message.

A message is held by a line of stage hold. qmail-send begins nothing new with it, and once nothing of it is under
way writes held for hold: from then on until the line goes nobody but who holds it touches its files. It stays held
when the power fails.

Changed under a lock of the directory and in one step, so that qmail-send and qmailctl never undo each other.
"""
import fcntl
import os

from ..base import home, netio
from . import names

# stage: who dies of it
WHO = {"loop": "qmail-send", "todo": "qmail-send", "bounce": "qmail-send", "local": "qmail-lspawn",
       "remote": "qmail-rspawn"}
TRIES = 3                           # deaths in a row
HOLD, HELD = "hold", "held"         # asked for; and qmail-send has let go of it
DIRECTORY = "run/qmail-send"
FILE = "suspects"
LONGEST = 1 << 24                   # bytes of the file: some 400,000 messages
DIGITS = 20                         # of a number there


def mark(number, queue=None):
    """What tells this message from an earlier one of its number; None if there is no such message. queue:
    descriptor of queue/ (None: the working directory)."""
    try:
        return os.stat(names.split("mess", number), dir_fd=queue).st_mtime_ns
    except OSError:
        return None


class File:
    """The file. Raises OSError from everything: its directory is not there, or not ours to write."""

    def __init__(self, directory=None):
        self.fd = os.open(directory or home.path(DIRECTORY), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def read(self):
        """{(stage, number): (mark, deaths)}; lines that are none are left out."""
        try:
            fd = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return {}
        try:
            lines = netio.read_all(fd, LONGEST).splitlines()
        finally:
            os.close(fd)
        found = {}
        for line in lines:
            stage, *rest = line.split(b" ")
            if stage.isascii() and len(rest) == 3 and all(word.isdigit() and len(word) <= DIGITS for word in rest):
                number, time, deaths = map(int, rest)
                found[stage.decode("ascii"), number] = time, deaths
        return found

    def change(self, change, sync=False):
        """Write what change(present entries) returns; returns it. sync: it is on the disk then. Without, after a power
        cut a message is tried once more than it would have been."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        try:
            before = self.read()
            after = change(dict(before))
            if after != before:
                # once on the disk, a line that holds a message stays there: no file without contents takes its place
                self._write(after, sync or any(stage in (HOLD, HELD) for stage, _ in after))
            if sync:
                os.fsync(self.fd)
            return after
        finally:
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def _write(self, entries, sync):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(f"{FILE}.new", flags, 0o644, dir_fd=self.fd)
        try:
            netio.write_all(fd, b"".join(b"%b %d %d %d\n" % (stage.encode(), number, *rest)
                                         for (stage, number), rest in sorted(entries.items())))
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(f"{FILE}.new", FILE, src_dir_fd=self.fd, dst_dir_fd=self.fd)


def set_aside(entries):
    """{number: stage} of the messages that are not to be touched."""
    return {number: stage for (stage, number), (_, deaths) in entries.items() if deaths >= TRIES}


def set_aside_now():
    """set_aside() of this installation; nothing where it has no such file. Raises OSError."""
    try:
        return set_aside(File().read())
    except FileNotFoundError:
        return {}


def still_there(entries):
    """The entries whose message is there. The working directory is queue/."""
    return {key: entry for key, entry in entries.items() if mark(key[1]) == entry[0]}


def hold(marks, stage=HOLD):
    """Hold these messages, {number: mark}, on the disk when this returns; as with release(). stage: HELD only while no
    qmail-send can run."""
    File().change(lambda entries: {(stage, number): (mark, TRIES) for number, mark in marks.items()
                                   if (HELD, number) not in entries} | entries, sync=True)


def let_go(entries, numbers):
    """The entries, once qmail-send has nothing of these messages in hand any more."""
    return {(HELD if key == (HOLD, key[1]) and key[1] in numbers else key[0], key[1]): entry
            for key, entry in entries.items()}


def release(numbers):
    """Have these messages tried again, all that are set aside or held if None. Returns the numbers that were. To
    be run as qmails; qmail-send looks again at its next HUP. On the disk when this returns. Raises OSError."""
    released = set()

    def change(entries):
        released.update(number for number in set_aside(entries) if numbers is None or number in numbers)
        return {key: entry for key, entry in entries.items() if key[1] not in released}
    File().change(change, sync=True)
    return sorted(released)
