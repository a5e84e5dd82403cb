"""maildirmake: make a Maildir.

    maildirmake name

Makes the directory `name` with tmp, new and cur in it, all readable by their owner only. Further
arguments are ignored; there are no options.

Exit codes: 0 made, 100 usage, 111 one of the directories could not be made.

**Security**: runs as whoever calls it and reads nothing.
Source: maildirmake(1).
"""
import os

from ..base import errors, maildir


def main(argv):
    if not argv:
        errors.say("maildirmake: usage: maildirmake name")
        return errors.PERMANENT
    os.umask(0o077)
    try:
        maildir.make(argv[0])
    except OSError as why:
        errors.say("maildirmake: fatal: unable to mkdir ", why.filename, ": ", errors.text(why))
        return errors.TEMPORARY
    return 0
