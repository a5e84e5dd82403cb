"""qsmhook: run a program of a .qmail file as sendmail would run it.

    qsmhook [ -DFlMmnPs ] [ -x prefix ] program [ arg ... ]

Runs program, looked up along PATH, with the message on its descriptor 0. Before the message goes the From_ line
UFLINE unless -n, the Return-Path line RPLINE with -P, the Delivered-To line DTLINE with -l, as
they are in the environment. In the program's name and arguments %g is the sender (SENDER), %h the
host (HOST), %u the recipient (LOCAL), %% a percent sign; % with anything else vanishes. -x prefix cuts a
prefix off the recipient, letter case ignored; it may be repeated. -D -F -M -m -s do nothing.

Exit codes: the program's; 100 for wrong usage, a missing variable or a program that cannot be run; 111
for temporary trouble, a crash, a message that cannot be read. A program need not read the message.

**Security**: runs as the user whose .qmail names it. Sender and recipient are words of strangers: they
become parts of arguments, never of a shell line, unless the program is a shell.
Source: qsmhook of qmail 1.03.
"""
import os

from ..base import child, errors, netio, sig
from ..base.errors import Permanent, Temporary, passing
from ..base.options import BadOption, Options

VARIABLES = (b"DTLINE", b"RPLINE", b"UFLINE", b"LOCAL", b"HOST", b"SENDER")
PIECE = 65536


def main(argv):
    environ = child.environment()
    if any(name not in environ for name in VARIABLES):
        raise Permanent("incorrect usage")
    options, lines, recipient = Options(argv, b"DFlMmnPsx:"), {b"UFLINE"}, environ[b"LOCAL"]
    try:
        for letter, value in options:
            if letter == b"x":
                recipient = without(value, recipient)
            elif letter == b"n":
                lines.discard(b"UFLINE")
            elif letter in b"Pl":
                lines.add(b"RPLINE" if letter == b"P" else b"DTLINE")
    except BadOption as why:
        errors.say("qsmhook: ", why.line)
        return errors.PERMANENT
    if not options.rest:
        raise Permanent("incorrect usage")
    meanings = {b"g": environ[b"SENDER"], b"h": environ[b"HOST"], b"u": recipient, b"%": b"%"}
    command = [expand(word, meanings) for word in options.rest]
    return run(command, environ, b"".join(environ[name] for name in (b"UFLINE", b"RPLINE", b"DTLINE") if name in lines))


def without(prefix, recipient):
    return recipient[len(prefix):] if recipient[:len(prefix)].lower() == prefix.lower() else recipient


def expand(word, meanings):
    """The word with each %X replaced by what X means, or by nothing."""
    first, *rest = word.split(b"%")
    expanded, escaped = [first], True
    for part in rest:
        if not escaped:             # the second of two percent signs: what follows stands for itself
            expanded.append(part)
            escaped = True
        elif part:
            expanded += meanings.get(part[:1], b""), part[1:]
        else:
            expanded.append(b"%")
            escaped = False
    if not escaped:
        expanded.pop()              # a percent sign at the very end
    return b"".join(expanded)


def run(command, environ, head):
    """Feed the command `head` and descriptor 0; returns its exit code. Raises Temporary."""
    try:
        reader, writer = os.pipe()
        pid = child.start(command[0], command, {0: reader}, env=environ, search=child.search_path(environ),
                          failed=cannot_run)
    except OSError as why:
        raise Temporary("temporary problem") from why
    os.close(reader)
    feed(pid, writer, head)
    os.close(writer)
    code = child.wait(pid)
    if code < 0:
        raise Temporary("temporary problem")
    return code


def cannot_run(why):
    temporary = passing(why)
    errors.say("qsmhook: fatal: ", "temporary problem" if temporary else "command not found")
    return errors.TEMPORARY if temporary else errors.PERMANENT


def feed(pid, writer, piece):
    """Write `piece` and all of descriptor 0 as long as somebody reads it. A program whose message
    cannot be read any further is ended before it takes half of it for the whole."""
    wanted = True
    while True:
        try:
            if wanted:
                netio.write_all(writer, piece)
        except OSError:
            wanted = False
        try:
            piece = os.read(0, PIECE)
        except OSError as why:
            os.kill(pid, sig.KILL)
            child.wait(pid)
            raise Temporary("unable to read message") from why
        if not piece:
            return
