"""What qmail-inject does with a message and its arguments, for every program of ours that injects mail without
starting it.

    inject([b"joe@example.com"], environ, read) -> exit code

The header is kept in memory up to a limit, the body is passed on in pieces. Options, variables and control files are
described at programs/qmail_inject.py. Source: qmail-inject(8), qmail-header(5).
"""
import os
import sys
import time

from ..base import control, errors, header, netio
from ..base.errors import Permanent, Temporary
from ..base.options import BadOption, Options
from ..queue.client import Submission
from .environment import Identity
from .message import Draft, Stamp, envelope
from .rewrite import Completer
from .tokens import Unparsable

READ_ERROR = b"read error\n"
PIECE = 65536                       # bytes read at once


def standard_input():
    try:
        return os.read(0, PIECE)
    except OSError:
        raise Temporary(READ_ERROR) from None


def inject(argv, environ, read=standard_input, *, error_output=2, number=None):
    """Do what `qmail-inject argv` does; returns the exit code. environ: dict of bytes. read: gives the
    message in pieces, b"" at its end; what it raises breaks the injection off. error_output: where complaints go.
    number: for a message id made here, the process id if None; a process that injects again and again gives
    another one each time."""
    try:
        work(argv, environ, read, os.getpid() if number is None else number)
        return 0
    except BadOption as why:
        errors.say(os.path.basename(sys.argv[0]), ": ", why.line)
        return errors.PERMANENT
    except Permanent as why:
        return complain(why, errors.PERMANENT, error_output)
    except Temporary as why:
        return complain(why, errors.TEMPORARY, error_output)
    except MemoryError:
        return complain(Temporary(b"out of memory\n"), errors.TEMPORARY, error_output)


def complain(why, status, fd):
    """One write; an exception of ours carries bytes with their newline, others words."""
    words = why.args[0] if why.args else b""
    if isinstance(words, str):
        words = os.fsencode(words + "\n")
    try:
        netio.write_all(fd, b"qmail-inject: fatal: " + words)
    except OSError:
        pass                        # nobody to tell; the exit code still does
    return status


def work(argv, environ, read, number):
    seconds = int(time.time())
    identity = Identity(environ)
    mailing_lists = read_mailing_lists(environ)
    completer, id_host = read_controls(environ)
    strategy, queueing, sender, arguments = read_options(argv, completer)
    recipients = [] if strategy == b"h" else [complete(completer, argument) for argument in arguments]

    message = header.Message(read)
    draft = Draft(identity, completer, Stamp(seconds, number, id_host), sender, mailing_lists)
    for field in message.fields():
        draft.add(field)
    sender = draft.sender()
    if strategy != b"a":
        recipients += draft.recipients()
    if queueing:
        submit(sender, recipients, draft.header(), message.body(), environ)
    else:
        show(sender, draft.header(), message.body())


def read_mailing_lists(environ):
    """The addresses in the file QMAILMFTFILE, in lower case; none if there is no such file."""
    name = environ.get(b"QMAILMFTFILE")
    if name is None:
        return frozenset()
    try:
        return control.fold(control.entries(netio.read_file(name)))
    except FileNotFoundError:
        return frozenset()
    except OSError:
        raise Temporary(READ_ERROR) from None


def read_controls(environ):
    """(Completer, host name for message ids). A file is read even where a variable stands in for it:
    one that cannot be read is trouble that should show."""
    try:
        me = control.line("me")
        values = [control.line(name, me, name.encode())
                  for name in ("defaulthost", "defaultdomain", "plusdomain", "idhost")]
    except Temporary:
        raise Temporary(READ_ERROR) from None
    variables = (b"QMAILDEFAULTHOST", b"QMAILDEFAULTDOMAIN", b"QMAILPLUSDOMAIN", b"QMAILIDHOST")
    host, domain, plus, id_host = (environ.get(variable, value) for variable, value in zip(variables, values))
    return Completer(host, domain, plus), id_host


def read_options(argv, completer):
    """(strategy: b"a" arguments, b"h" header or b"H" both, queueing, sender or None, arguments)."""
    options = Options(argv, b"aAhHnNf:")
    strategy, queueing, sender = b"A", True, None
    for letter, value in options:
        if letter in b"nN":
            queueing = letter == b"N"
        elif letter == b"f":
            sender = completer.complete_argument(value)
        else:
            strategy = letter
    if strategy == b"A":
        strategy = b"a" if options.rest else b"h"
    return strategy, queueing, sender, options.rest


def complete(completer, argument):
    """A recipient from the command line, complete."""
    try:
        return envelope(completer.complete_argument(argument))
    except Unparsable:
        raise Unparsable(b"unable to parse address: %b\n" % argument) from None


def behind(head):
    """A read function for inject(): `head`, then descriptor 0."""
    pieces = [head]
    return lambda: pieces.pop() if pieces else standard_input()


def submit(sender, recipients, head, body, environ):
    """Queue the message. Raises Permanent or Temporary with qmail-queue's answer."""
    try:
        queue = Submission(environ)
    except OSError:
        raise Temporary(b"unable to run qmail-queue\n") from None
    with queue:
        queue.put(head)
        for piece in body:
            queue.put(piece)
        answer = queue.finish(sender, recipients)
    if answer:
        raise (Permanent if answer[:1] == b"D" else Temporary)(answer[1:] + b"\n")


def show(sender, head, body):
    """Print the message, the envelope sender as its first field."""
    from ..base import address      # -n only
    try:
        netio.write_all(1, b"Return-Path: <%b>\n%b" % (address.quote(sender), head))
        for piece in body:
            netio.write_all(1, piece)
    except OSError:
        raise Temporary(READ_ERROR) from None
