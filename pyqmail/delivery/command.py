"""A command of a .qmail file: "|COMMAND", run by /bin/sh as the user asked.

**Security**: the only shell there is. It gets the line of the user's own file as one argument; data
of strangers reaches it in the environment and on descriptor 0 only.
"""
import os

from ..base import child, errors
from ..base.errors import Permanent, Temporary

SHELL = b"/bin/sh"
SKIP_REST = 99                      # success, and the lines after this one do not count
HARD = frozenset((100, 64, 65, 70, 76, 77, 78, 112))     # sysexits' permanent ones, and qmail's


def run(line, message, output, error_output, environ):
    """Run a command and wait for it; True if it said that the rest is to be skipped.

    message, output, error_output: its descriptors 0, 1, 2; the message is rewound first. It runs
    in our working directory under our umask. Raises Temporary or Permanent, without a text where
    the command has had its chance to say why.
    """
    try:
        message.rewind()
    except OSError as why:
        raise Temporary("Unable to rewind message. (#4.3.0)") from why
    try:
        pid = child.start(SHELL, [SHELL, b"-c", line], {0: message.fd, 1: output, 2: error_output},
                          env=environ, failed=cannot_execute)
    except OSError as why:
        raise Temporary(f"Unable to fork: {errors.text(why)}. (#4.3.0)") from why
    code = child.wait(pid)
    if code < 0:
        raise Temporary("Aack, child crashed. (#4.3.0)")
    if code in HARD:
        raise Permanent
    if code not in (0, SKIP_REST):
        raise Temporary
    return code == SKIP_REST


def cannot_execute(why):
    """In the child, its descriptors in place: the text and status of a command that could not begin."""
    errors.say(f"Unable to run {os.fsdecode(SHELL)}: {errors.text(why)}. (#4.3.0)")
    return errors.TEMPORARY
