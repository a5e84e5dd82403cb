"""qbiff: announce new mail on the user's terminals.

    qbiff

Used in .qmail. Writes two lines about the message on descriptor 0, sender and recipient, then subject and the
start of the body, to every terminal where USER is logged in and has allowed it (biff y: the terminal is
executable by its owner). Needs USER, SENDER and LOCAL. Always exits 0: a notice is no reason to keep mail.
**Security**: runs as the user whose .qmail names it. What comes from strangers is shown with every unprintable
byte replaced; only terminals that belong to the user are written to.
Source: qbiff(1).
"""
import os
import sys

from ..base import child, header, netio

UTMP = "/run/utmp"
RECORDS_LIMIT = 1 << 20             # bytes of it that are looked at
# struct utmp of Linux: type at 0 (2 bytes), line at 8 and user at 44 (32 bytes each); 64-bit times make it longer.
LONG_RECORD = ("aarch64", "riscv64", "loongarch64")
LINE, USER = slice(8, 40), slice(44, 76)
USER_PROCESS = 7
TEXT_LENGTH = 78
PRINTABLE = bytes(range(32, 127))
PIECE = 65536


def main(argv):
    environ = child.environment()
    try:
        os.chdir("/dev")
        user, sender, local = (environ[name] for name in (b"USER", b"SENDER", b"LOCAL"))
        lines = b"\r\n\a%b\r\n%b\r\n" % (printable(b"*** TO <%b> FROM <%b>" % (local, sender), b"_"),
                                         printable(extract(), b"/"))
        for line in terminals(user):
            announce(line, lines)
    except (KeyError, OSError, header.HeaderTooLong):
        pass
    return 0


def extract():
    """Four blanks, then the subject and as much of the body as fits."""
    message, text = header.Message(lambda: os.read(0, PIECE)), b"    "
    for field in message.fields():
        if header.name(field) == b"subject":
            text = (text + header.contents(field))[:TEXT_LENGTH]
    body = message.body()
    while len(text) < TEXT_LENGTH and (piece := next(body, b"")):
        text = (text + piece)[:TEXT_LENGTH]
    return text


def printable(text, instead):
    """text with `instead` for every byte that a terminal might act upon."""
    return text.translate(bytes(byte if byte in PRINTABLE else instead[0] for byte in range(256)))


def terminals(user):
    """The lines, names below /dev, where `user` is logged in."""
    size = 400 if os.uname().machine in LONG_RECORD else 384
    records = netio.read_file(UTMP, RECORDS_LIMIT)
    for at in range(0, len(records) - size + 1, size):
        record = records[at:at + size]
        if int.from_bytes(record[:2], sys.byteorder) == USER_PROCESS and record[USER].partition(b"\0")[0] == user:
            line = record[LINE].partition(b"\0")[0]
            if line and line[:1] != b"/" and b"." not in line:
                yield line


def announce(line, lines):
    """Write to a terminal, if its owner is us and wants it."""
    try:
        fd = os.open(line, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        found = os.fstat(fd)
        if found.st_mode & 0o100 and found.st_uid == os.getuid():
            netio.write_all(fd, lines)
    except OSError:
        pass                        # a terminal that is gone or stopped
    finally:
        os.close(fd)
