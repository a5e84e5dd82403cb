"""qmail-qstat: summarize the status of the mail queue.

    qmail-qstat

Prints two lines: how many messages are in the queue, and how many of them qmail-send has not preprocessed
yet. Counts every regular file below mess and below todo; what the caller may not see, it does not count.

Exit: 0.

**Security**: runs as whoever calls it, with no rights of its own; reads names only.
Source: qmail-qstat(8).
"""
import os

from ..base import errors, home, netio
from ..queue import scan


def main(argv):
    def complain(why):
        errors.say("qmail-qstat: warning: unable to list ", why.filename or "queue", ": ", errors.text(why))
    queued, waiting = (scan.count_files(os.fsencode(home.path("queue", kind)), complain) for kind in ("mess", "todo"))
    netio.write_all(1, b"messages in queue: %d\nmessages in queue but not yet preprocessed: %d\n" % (queued, waiting))
    return 0
