"""condredirect: redirect mail to another address if a program agrees.

    condredirect newaddress program [ arg ... ]

Used in .qmail. Runs the program with the message on descriptor 0. If it exits 0, the message is
queued for newaddress, with the envelope sender SENDER and the line DTLINE in front, and
condredirect exits 99: the rest of .qmail is not carried out. If it exits 111, or crashes, so does condredirect
with 111; for any other code it does nothing and exits 0. Exits 100 for bad usage, missing variables and
permanent refusal by the queue.
**Security**: runs as the user whose .qmail names it; the message comes from strangers and is not looked at.
Source: condredirect(1).
"""
import os

from ..base import child, errors, verdict
from ..base.errors import Temporary, text
from ..inject.forwarding import hand_on, needed

USAGE = "condredirect: usage: condredirect newaddress program [ arg ... ]"
STOP = 99                           # qmail-local: done, ignore further instructions


def main(argv):
    if len(argv) < 2:
        errors.say(USAGE)
        return errors.PERMANENT
    if not verdict.agrees(argv[1:]):
        return 0
    try:
        os.lseek(0, 0, os.SEEK_SET)
    except OSError as why:
        raise Temporary(f"unable to rewind: {text(why)}") from None
    environ = child.environment()
    sender, line = needed(environ, b"SENDER"), needed(environ, b"DTLINE")
    errors.say("condredirect: qp ", str(hand_on(line, sender, argv[:1], environ)))
    return STOP
