"""instcheck: compare an installation with what it should be.

    instcheck [queue-only]

Prints a line on descriptor 2 for each file, directory and program that is missing or has another owner, group,
mode or type than the table in pyqmail/install/hier.py; queue-only: below queue/ only. `qmailctl doctor`
looks at more, and its exit code tells. Exit codes: 0, whatever was found; 100 usage; 111 it cannot be looked at.

**Security**: run by root; changes nothing. Source: instcheck of qmail's distribution.
"""
from ..base import errors, home
from ..install import hier


def main(argv):
    if argv not in ([], [b"queue-only"]):
        errors.say("instcheck: usage: instcheck [queue-only]")
        return errors.PERMANENT
    below = home.path("queue") if argv else home.HOME
    for line in hier.deviations(home.HOME):
        if line.startswith(below):
            errors.say("instcheck: warning: ", line)
