"""qmail-clean: remove files from the queue at qmail-send's request.

    qmail-clean                         started by qmail-start, never by hand

Requests on descriptor 0, each ended by NUL: `foop/N` (remove intd/N, then mess/S/N) and `todo/N` (remove
intd/N, then todo/N). One byte on descriptor 1 answers each: `+` done, a missing file included; `!` a file
could not be removed, what comes after it was not tried; `x` not a request. At the start and after every 31
requests, files in pid that nobody read for 36 hours are removed.

Exit: 0 at end of input; 100 when an answer cannot be written; 111 when the queue cannot be entered.

**Security**: uid qmailq, in queue/. The only program besides qmail-queue that may write in mess, intd and
todo, so that qmail-send need not. Where the kernel can see to it, it can but list and remove there, and start nothing.
A request can name nothing but a number.
Source: qmail-clean(8), recorded conversations.
"""
import os

from ..base import errors, home, limits, number as numbers, sandbox
from ..base.clock import Clock, Unhurried
from ..queue import names

SHORTEST, LONGEST = 7, 100          # bytes of a request with its NUL
SWEEP_EVERY = 31                    # requests
DONE, FAILED, BAD = b"+", b"!", b"x"


def main(argv):
    try:
        os.chdir(home.path("queue"))
    except OSError:
        return errors.TEMPORARY
    limits.enter("qmail-clean")
    sandbox.enter(sandbox.Files(remove=("pid", "intd", "todo", "mess")))
    clock = Unhurried(Clock())      # a clock that is set makes no file older
    sweep(clock.now())
    for count, request in enumerate(requests(0), 1):
        try:
            for byte in answers(request):
                os.write(1, byte)
        except OSError:
            return errors.PERMANENT
        if count % SWEEP_EVERY == 0:
            sweep(clock.now())
    return 0


def requests(fd):
    """Yields each request without its NUL; one that is too long is cut, but stays too long. Input that
    ends inside a request drops it."""
    held = b""
    while data := os.read(fd, 4096):
        *found, held = (held + data).split(b"\0")
        held = held[:LONGEST]
        yield from found


def answers(request):
    """Carry out a request and yield its answers.

    One answer a request, with a quirk that C programs rely on as little as we do, but that is part of the
    protocol as it is: every byte of the number that is no digit gives an `x` of its own, and then
    the digits before the first of them still count.
    """
    if not SHORTEST <= len(request) + 1 <= LONGEST:
        yield BAD
        return
    word, digits = request[:5], request[5:]
    for _ in digits.translate(None, b"0123456789"):
        yield BAD
    if not digits[:1].isdigit():
        yield BAD
        return
    number = numbers.unsigned(digits)
    if word == b"foop/":
        yield remove(names.flat("intd", number), names.split("mess", number))
    elif word[:4] == b"todo":
        yield remove(names.flat("intd", number), names.flat("todo", number))
    else:
        yield BAD


def remove(*paths):
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError:
            return FAILED
    return DONE


def sweep(now):
    """Remove what is left in pid of programs that were killed. Trouble is left to the next sweep."""
    try:
        entries = os.listdir(b"pid")
    except OSError:
        return
    for name in entries:
        path = b"pid/" + name
        try:
            if now >= os.stat(path).st_atime_ns // 1_000_000_000 + names.OSSIFIED:
                os.unlink(path)
        except OSError:
            continue
