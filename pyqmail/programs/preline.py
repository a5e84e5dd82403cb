"""preline: feed a program the message with the lines that qmail-local puts before it.

    preline [ -frdFRD ] cmd [ arg ... ]

Used in .qmail. Runs cmd with the From_ line UFLINE, the Return-Path line RPLINE and the Delivered-To line DTLINE
on its descriptor 0, then what comes on ours. -f, -r, -d leave these lines out, -F, -R, -D undo that. Exits with
cmd's exit code; 100 for bad usage, a missing variable or a program that cannot be run, 111 for a crash and
temporary errors, a program that does not read a long message among them.
**Security**: runs as the user whose .qmail names it; the message comes from strangers and is not looked at.
Source: preline(1).
"""
from ..base import child, errors
from ..base.feed import Feed
from ..base.options import BadOption, Options
from ..base.verdict import cannot_run

USAGE = "preline: usage: preline cmd [ arg ... ]"
LINES = {b"f": b"UFLINE", b"r": b"RPLINE", b"d": b"DTLINE"}


class Usage(Exception):
    """The command line or the environment is not as it must be."""


def main(argv):
    environ = child.environment()
    try:
        left_out, command = read_options(argv, environ)
    except BadOption as why:
        errors.say("preline: ", why.line)
        return usage()
    except Usage:
        return usage()
    head = b"".join(environ[name] for letter, name in LINES.items() if letter not in left_out)
    feed = Feed("preline", command, environ, cannot_run)
    try:
        feed.copy(head)
    except BrokenPipeError as why:
        raise errors.Temporary(f"unable to copy input: {errors.text(why)}") from None
    return feed.end()


def read_options(argv, environ):
    """(letters of the lines to leave out, command)."""
    if any(name not in environ for name in LINES.values()):
        raise Usage
    options, left_out = Options(argv, b"frdFRD"), set()
    for letter, _ in options:
        (left_out.add if letter.islower() else left_out.discard)(letter.lower())
    if not options.rest:
        raise Usage
    return left_out, options.rest


def usage():
    errors.say(USAGE)
    return errors.PERMANENT
