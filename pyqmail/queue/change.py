"""What is done to a message of the queue by hand: its time is up, or it goes.

The queue's format stays qmail's: what is written here a crash could have left, or qmail-send itself writes. To be run
as qmails in queue/, for messages that nobody touches meanwhile: qmail-send does not run, or has let go of them
(suspects.HELD). All of it is on the disk when a function returns. C qmail-send, which lets go of nothing, gets along with both as well: it looks at the birth of
a message each time it opens it, and a mark is a mark whoever made it. All functions raise OSError.
"""
import os

from ..base import netio
from . import envelope, names, suspects

LONG_AGO = 1                        # s since 1970: older than any queuelifetime


class Gone(Exception):
    """The message ended, and its number may be another's."""


def expire(number, mark):
    """Its next attempt is its last: info's modification time is when a message came, and now it came long ago."""
    fd = os.open(names.split("info", number), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        check(number, mark)
        os.utime(fd, (LONG_AGO, LONG_AGO))
        os.fsync(fd)
    finally:
        os.close(fd)


def delete(number, mark):
    """All its recipients are done and nobody hears of it: qmail-send finds a message that has nothing left to do, and
    removes it in the usual way."""
    for channel in ("local", "remote"):
        try:
            fd = os.open(names.split(channel, number), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            check(number, mark)
            for offset, record in envelope.records(fd):
                if record[:1] not in (b"D", b""):
                    os.pwrite(fd, b"D", offset)
            os.fsync(fd)
        finally:
            os.close(fd)
    check(number, mark)
    bounce = names.flat("bounce", number)
    if os.path.exists(bounce):
        os.unlink(bounce)
        netio.sync_directory(os.path.dirname(bounce))


def delete_new(number, mark, clean):
    """One that is still in todo. clean(request): has qmail-clean carry out `todo/N` or `foop/N`. Broken off anywhere
    it is either queued still or an orphan."""
    check(number, mark)
    for kind in ("info", "local", "remote"):    # as long as todo/N is there they mean nothing; without it they would
        unlink(names.split(kind, number))
    clean(b"todo/%d" % number)
    netio.sync_directory("todo")
    clean(b"foop/%d" % number)


def check(number, mark):
    """Raises Gone unless the message is the one that was marked so. Who has opened its file before has its file."""
    if suspects.mark(number) != mark:
        raise Gone(number)


def unlink(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
