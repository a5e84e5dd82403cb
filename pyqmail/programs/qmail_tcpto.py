"""qmail-tcpto: show the hosts that qmail-remote found not answering.

    qmail-tcpto

For each entry of queue/lock/tcpto with at least one timeout, one line on descriptor 1:

    192.0.2.10 timed out 104 seconds ago; # recent timeouts: 1

Exit: 0; 111 if the table cannot be read, which the same descriptor says.
**Security**: run by root or qmailr by hand; reads one file of 1024 bytes, changes nothing.
Source: qmail-tcpto.
"""
import os

from ..base import errors, home, netio
from ..base.clock import Clock
from ..smtp import tcpto

ULONG = (1 << 64) - 1               # as which the age of a time in the future is printed


def main(argv):
    step = "chdir"
    try:
        os.chdir(home.path("queue/lock"))
        step = "open tcpto"
        fd = os.open("tcpto", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        step = "lock tcpto"
        tcpto.lock(fd)
        step = "read tcpto"
        data = os.pread(fd, tcpto.SIZE, 0)
    except OSError as why:
        netio.write_all(1, f"fatal: unable to {step}: {errors.text(why)}\n".encode())
        return errors.TEMPORARY
    os.close(fd)
    netio.write_all(1, b"".join(lines(tcpto.parse(data), Clock.now())))
    return 0


def lines(records, now):
    """One line for each record in use, in the order of the file."""
    for record in records:
        if record.count:
            yield b"%b timed out %d seconds ago; # recent timeouts: %d\n" % (
                record.address, now - record.when & ULONG, record.count)
