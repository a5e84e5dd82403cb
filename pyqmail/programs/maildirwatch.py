"""maildirwatch: show the new mail of a Maildir on a terminal, for ever.

    maildirwatch

Every 30 seconds, clears the screen and shows each message in new/ of $MAILDIR, oldest first: its sender
and recipient, its From line in bold, the start of its subject and text. Bytes that a terminal could
take for a command are shown as "/" or "?". Files in tmp/ not looked at for 36 hours are removed.
Arguments are ignored. Exit code: 111, with one line on descriptor 2, when it cannot go on.

**Security**: runs as the owner of the mailbox. What strangers wrote reaches the terminal as printable ASCII.
Source: maildirwatch(1) of qmail 1.03.
"""
import os
import time

from ..base import header, maildir, netio
from ..base.errors import Temporary, text

PAUSE = 30                          # s
SHOWN = 158                         # bytes of subject and text
HEADER = 1 << 20                    # bytes of a header that are looked at
CLEAR = b"\033[;H\033[;J"
FRAME = b"\033[1m%b\033[0m\n"
SLASHED = bytes(byte if 32 <= byte <= 126 else ord("/") for byte in range(256))
QUESTIONED = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def main(argv):
    directory = os.environb.get(b"MAILDIR")
    if directory is None:
        raise Temporary("MAILDIR not set")
    try:
        os.chdir(directory)
    except OSError as why:
        raise Temporary(f"unable to chdir to {os.fsdecode(directory)}: {text(why)}") from why
    while True:
        show(int(time.time()))
        time.sleep(PAUSE)


def show(now):
    """One screen. Raises Temporary."""
    maildir.clean(now)
    try:
        messages = maildir.scan((b"new",), now)
    except OSError as why:
        raise Temporary(f"unable to scan $MAILDIR/{os.fsdecode(why.filename)}: {text(why)}") from why
    netio.write_all(1, CLEAR)
    for _, path in messages:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            continue                # moved or removed meanwhile
        try:
            shown = block(fd)
        except OSError as why:
            raise Temporary("trouble reading new message") from why
        finally:
            os.close(fd)
        netio.write_all(1, shown)


def block(fd):
    """The lines shown for one message, read from a descriptor. Raises OSError."""
    message = header.Message(lambda: os.read(fd, 8192), HEADER)
    last, subjects = {}, b""
    try:
        for field in message.fields():
            name = header.name(field)
            if name == b"subject":
                subjects += header.contents(field)[:SHOWN]
            elif name in (b"from", b"return-path", b"delivered-to"):
                last[name] = field
        subjects += start(message.body(), SHOWN - len(subjects))
    except header.HeaderTooLong:
        pass                        # what was read of it is enough to show
    sender, recipient = (address(last.get(name, b"")) for name in (b"return-path", b"delivered-to"))
    said = last.get(b"from", b"")
    return b"FROM %b TO <%b>\n%b%b\n\n" % (
        sender, recipient, FRAME % said.removesuffix(b"\n").translate(SLASHED) if said else b"",
        subjects[:SHOWN].translate(SLASHED))


def start(pieces, length):
    """The first `length` bytes of the pieces."""
    found = b""
    for piece in pieces:
        if len(found) >= length:
            break
        found += piece
    return found[:max(0, length)]


def address(field):
    return header.contents(field).removesuffix(b"\n").translate(QUESTIONED) or b"?"
