"""`qmailctl doctor --repair`: owners, modes, what is missing, and the queue (queue/mend.py), while nothing runs.

Nobody else works in the queue meanwhile: we have qmail-send's lock, and without queue/pid, which has another name as
long as this lasts, no qmail-queue gets anywhere, whoever starts it: mail waits where it is. One that began earlier
has files open, which shows.

**Security**: run by root in directories that qmail's accounts may write to: no symbolic link is followed, and no file
is touched that has a name elsewhere.
"""
import contextlib
import fcntl
import os

from ..base import accounts, child, home, prot
from ..base.errors import Temporary
from ..queue import check, mend, names, suspects
from . import hier, services

AWAY = "pid.away"


def run(say):
    """Mend what can be mended; say(line) hears what was. Raises Temporary where that cannot be now."""
    if up := [name for name in ("supervisor", *services.NAMES) if services.running(name)]:
        raise Temporary(f"{', '.join(up)}: still running; nothing is repaired before qmailctl stop")
    queue = home.path("queue")
    with contextlib.suppress(FileNotFoundError):        # a repair that was broken off
        put_back(queue)
    tree(say)
    mutex = os.open(f"{queue}/{names.SENDMUTEX}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(f"{queue}/pid", f"{queue}/{AWAY}")
        try:
            nobody_else(os.path.realpath(queue))
            mending = mend.Mend(queue, check.owners(), accounts.gid("qmail"), AWAY, say)
            try:
                mending.run()
            finally:
                still_held(mending.moved)
        finally:
            put_back(queue)
    except BlockingIOError:
        raise Temporary("a qmail-send is running: nothing is repaired before it is stopped") from None
    finally:
        os.close(mutex)


def put_back(queue):
    """queue/pid gets its name back. In its place may be one that is empty."""
    os.rename(f"{queue}/{AWAY}", f"{queue}/pid")


def tree(say):
    """Directories and files of the installed tree; programs that are missing qmailctl install has."""
    before, layer = list(hier.deviations(home.HOME)), hier.Layer()
    for entry in hier.fixed():
        try:
            layer.lay(entry)
        except Temporary as why:
            say(f"unable to mend: {why}")
    for entry in hier.code(home.HOME):
        with contextlib.suppress(OSError, Temporary):   # told by the check that follows
            above, name = layer.above(entry.path)
            try:
                layer.mend(above, name, entry)
            finally:
                os.close(above)
    after = set(hier.deviations(home.HOME))
    for line in before:
        if line not in after:
            say(f"mended: {line}")


def nobody_else(queue):
    """Raises Temporary if a process has a file of the queue open."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                place = os.readlink(f"/proc/{pid}/fd/{fd}")
                if place.startswith(f"{queue}/") and "/lock/" not in place and os.path.isfile(f"/proc/{pid}/fd/{fd}"):
                    raise Temporary(f"process {pid} is at work in the queue ({place}): nothing is repaired before it ends")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def still_held(moved):
    """What is held or set aside stays so under its new number."""
    def work():
        prot.become(accounts.uid("qmails"), accounts.gid("qmail"))
        suspects.File().change(lambda entries: {(stage, moved.get(number, number)): entry
                                                for (stage, number), entry in entries.items()})
    if moved and child.wait(child.fork(work)):
        raise Temporary(f"unable to write {home.path(suspects.DIRECTORY, suspects.FILE)}: what was held no longer is")
