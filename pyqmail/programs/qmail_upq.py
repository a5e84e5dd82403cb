"""qmail-upq: move queue files to where this queue has them.

    qmail-upq

For a queue made with another number of split directories (or none): every file in queue/mess, info, local and
remote goes into the directory whose number is the message number modulo 23. Numbers stay as they are, so
the queue must not have been copied. Run it while qmail-send is stopped; it refuses otherwise.

Exit codes: 0 all files are where they belong; 111 a line on descriptor 2 says what is not. Nothing is
overwritten; run again, it goes on.

**Security**: run by root; reads nothing but names. Source: qmail-upq of qmail's distribution.
"""
import os

from ..base import errors, home, lock
from ..base.deadline import Expired
from ..base.errors import Temporary, text
from ..queue import names

PATIENCE = 1                        # s; qmail-send keeps its lock as long as it runs


def main(argv):
    os.umask(0o077)
    try:
        os.chdir(home.path("queue"))
        held = os.open(names.SENDMUTEX, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as why:
        raise Temporary(f"unable to open {home.path('queue', names.SENDMUTEX)}: {text(why)}") from why
    try:
        if not lock.exclusive(held, PATIENCE):
            raise Temporary("unable to lock the queue: no locks available")
    except Expired:
        raise Temporary("qmail-send is running: stop it first") from None
    misplaced = sum(not move(path) for directory in names.DIRECTORIES_SPLIT for path in files(directory))
    return errors.TEMPORARY if misplaced else 0


def files(directory):
    """The paths of the files below directory, read before anything is moved."""
    found = os.walk(directory, onerror=unreadable)
    return sorted(os.path.join(place, name) for place, _, present in found for name in present)


def unreadable(why):
    raise Temporary(f"unable to read queue/{why.filename}: {text(why)}") from why


def move(path):
    """Put one file in its place. False, after a line that says why, if it cannot be."""
    directory, _, rest = path.partition("/")
    name = rest.rpartition("/")[2]
    if not name.isascii() or not name.isdigit():
        errors.say("qmail-upq: warning: queue/", path, " is no queue file")
        return False
    target = names.split(directory, int(name))
    if target == path:
        return True
    try:
        os.link(path, target)       # unlike rename it overwrites nothing
        os.unlink(path)
        return True
    except OSError as why:
        errors.say("qmail-upq: warning: unable to move queue/", path, " to ", target, ": ", text(why))
        return False
