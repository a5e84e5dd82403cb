"""vdelivermail: deliver a message to a virtual user.

    | VPOPHOME/bin/vdelivermail '' ACTION       in the .qmail-default of a virtual domain

Reads the message from descriptor 0 and delivers it for the user EXT of the domain HOST: by the .qmail in the
user's directory, else into his Maildir. ACTION is what happens to mail for a name that nobody has:
bounce-no-mailbox, delete, an address to send it on to, or the path of a user's directory or Maildir. The first
argument is ignored. qmail-local does the same work itself where a .qmail file names this program.

Environment: EXT, HOST, RPLINE, DTLINE, as qmail-local sets them.
Exit codes: 0 delivered or dropped, 99 if a program line wants that, 100 cannot be delivered, 111 try again later;
the exit code of qmail-inject where that failed. What there is to say goes to descriptor 1.

**Security**: runs as the owner of the domain, never as root. Message and addresses come from strangers, the .qmail
file from its user, who has no rights but the domain's.
Source: vpopmail's vdelivermail, as recorded.
"""
import os

from ..base import child, netio
from ..base.errors import TEMPORARY
from ..delivery.message import Message
from ..vpopmail import delivery

SYNTAX = b"vdelivermail: invalid syntax in .qmail-default file\n"
PIECE = 1 << 18


def main(argv):
    if len(argv) != 2:
        return delivery.tell(1, SYNTAX, TEMPORARY)
    os.umask(os.umask(0) | 0o022)       # nobody else writes what we make
    return delivery.deliver(argv[1], child.environment(), Message(seekable(0)), 1)


def seekable(fd):
    """A descriptor of the message that can be read twice: fd itself, or a copy of what comes out of it."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        return fd
    except OSError:
        pass
    copy = os.open("/tmp", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    while piece := os.read(fd, PIECE):
        netio.write_all(copy, piece)
    os.lseek(copy, 0, os.SEEK_SET)
    return copy
