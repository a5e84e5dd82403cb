"""A command of a .qmail file: "|COMMAND", run by /bin/sh as the user asked.

**Security**: the only shell there is. It gets the line of the user's own file as one argument; data
of strangers reaches it in the environment and on descriptor 0 only.
"""
import os

from ..base import child, errors, home
from ..base.errors import Permanent, Temporary

SHELL = b"/bin/sh"
SKIP_REST = 99                      # success, and the lines after this one do not count
HARD = frozenset((100, 64, 65, 70, 76, 77, 78, 112))     # sysexits' permanent ones, and qmail's

VDELIVERMAIL = b"vdelivermail"
EMPTY_WORDS = (b"''", b'""')
PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=:,./@%"     # no meaning to a shell


def run(line, message, output, error_output, environ, flush=os.fsync, copies=None):
    """Run a command and wait for it; True if it said that the rest is to be skipped.

    message, output, error_output: its descriptors 0, 1, 2; the message is rewound first. It runs
    in our working directory under our umask. Raises Temporary or Permanent, without a text where
    the command has had its chance to say why. A line that names our own vdelivermail is carried out
    here: every message to a virtual user has one, and it would cost a shell and an interpreter. flush, copies: see
    deliver.Order.
    """
    action = own_vdelivermail(line)
    if action is None:
        return run_shell(line, message, output, error_output, environ)
    from ..vpopmail import delivery     # most users are system users: their deliveries do without it
    return judge(delivery.deliver(action, environ, message, output, error_output, flush, copies))


def own_vdelivermail(line):
    """ACTION of a line `/path/vdelivermail '' ACTION` that a shell would take word for word and that
    names the program of this installation; None for every other line."""
    words = [word for word in line.replace(b"\t", b" ").split(b" ") if word]
    if len(words) != 3 or not words[0].startswith(b"/") or words[1] not in EMPTY_WORDS or os.path.basename(words[0]) != VDELIVERMAIL:
        return None
    program, action = words[0], words[2]
    if action[:1] in (b"'", b'"') and action[-1:] == action[:1] and len(action) > 2:
        action = action[1:-1]
    if not action or (program + action).strip(PLAIN) or not is_ours(program):
        return None
    return action


def is_ours(program):
    """True if the program is our launcher of vdelivermail, in QMAILHOME/bin or linked to it."""
    name = os.fsdecode(VDELIVERMAIL)
    try:
        return home.ours(name) and os.path.samefile(program, home.program(name))
    except OSError:
        return False


def run_shell(line, message, output, error_output, environ, cwd=None):
    """run() for a line that only a shell can carry out. cwd: where, if not in our working directory."""
    try:
        message.rewind()
    except OSError as why:
        raise Temporary("Unable to rewind message. (#4.3.0)") from why
    try:
        pid = child.start(SHELL, [SHELL, b"-c", line], {0: message.fd, 1: output, 2: error_output},
                          env=environ, cwd=cwd, failed=cannot_execute)
    except OSError as why:
        raise Temporary(f"Unable to fork: {errors.text(why)}. (#4.3.0)") from why
    return judge(child.wait(pid))


def judge(code):
    """True if the exit code (minus a signal's number) of a command means that the rest is to be skipped. Raises
    Temporary or Permanent."""
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
