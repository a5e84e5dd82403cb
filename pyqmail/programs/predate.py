"""predate: put a Date line with the local time before the input of a program.

    predate child [ arg ... ]

Runs child with a Date line on its descriptor 0, then what comes on ours. The time is that of TZ or the
system's zone. Exits with child's exit code; 100 for bad usage, 111 for a program that cannot be run, a crash
and input that cannot be read.
**Security**: runs as the user who calls it.
Source: predate(1).
"""
import time

from ..base import child, errors
from ..base.date import MONTHS
from ..base.feed import Feed


def main(argv):
    if not argv:
        errors.say("predate: usage: predate child")
        return errors.PERMANENT
    feed = Feed("predate", argv, child.environment(), lambda why: errors.TEMPORARY)
    try:
        feed.copy(date_line(int(time.time())))
    except BrokenPipeError:
        pass                        # it has read as much as it wanted
    return feed.end()


def date_line(seconds):
    """b"Date: 22 Nov 2026 10:05:07 +0100\\n" in local time; the zone is rounded to minutes."""
    local = time.localtime(seconds)
    minutes = (abs(local.tm_gmtoff) + 30) // 60
    return b"Date: %d %b %d %02d:%02d:%02d %b%02d%02d\n" % (
        local.tm_mday, MONTHS[local.tm_mon - 1], local.tm_year, local.tm_hour, local.tm_min, local.tm_sec,
        b"-" if local.tm_gmtoff < 0 else b"+", *divmod(minutes, 60))
