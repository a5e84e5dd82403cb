"""qmail-qread: list outgoing messages and recipients.

    qmail-qread

Prints, for every message that qmail-send has preprocessed, its arrival (GMT), number, size, sender and
whether something bounced, then one line a recipient with its channel; `done` before those that are
finished. Bytes that are not printable ASCII are shown as `_`. Everything goes to standard output.

Exit: 0; 111 when the queue cannot be entered or listed.

**Security**: for root and qmails, whom the queue's modes let in; nobody else sees anything. Prints
addresses from strangers, made safe for terminals.
Source: qmail-qread(8), recorded listings.
"""
import os

from ..base import date, errors, home, netio
from ..queue import envelope, names, scan

SAFE = bytes(byte if 32 <= byte <= 126 else ord("_") for byte in range(256))
HELD = 1 << 16                      # bytes of output collected before they are written
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def main(argv):
    out = Output()
    try:
        return listing(out)
    finally:
        out.flush()


def listing(out):
    """Everything; the exit status."""
    try:
        os.chdir(home.path("queue"))
    except OSError as why:
        out.put(f"fatal: unable to chdir: {errors.text(why)}\n".encode())
        return errors.TEMPORARY
    entries = scan.SplitScan("info")
    while True:
        try:
            _, name = next(entries)
        except StopIteration:
            return 0
        except OSError as why:
            out.put(f"fatal: unable to opendir {entries.where}: {errors.text(why)}\n".encode())
            return errors.TEMPORARY
        number = scan.number(name)
        if number is not None:
            try:
                message(out, number)
            except OSError as why:  # it may have been delivered meanwhile
                out.put(f"warning: trouble with #{number}: {errors.text(why)}\n".encode())


def message(out, number):
    """One message. Raises OSError for a file that cannot be read."""
    size = os.stat(names.split("mess", number)).st_size
    try:
        os.stat(names.flat("bounce", number))
        bouncing = b" bouncing"
    except OSError:
        bouncing = b""
    sender, born = info(number)
    arrival = date.rfc822(born).removesuffix(b" -0000")
    out.put(b"%b GMT  #%d  %d  <%b> %b\n" % (arrival, number, size, sender.translate(SAFE), bouncing))
    for channel in ("local", "remote"):
        recipients(out, channel, number)


def info(number):
    """(sender, birth): of a broken info file whatever it shows."""
    fd = os.open(names.split("info", number), READ)
    try:
        first = os.read(fd, 65536).partition(b"\0")[0]
        return first[1:], os.fstat(fd).st_mtime_ns // 1_000_000_000
    finally:
        os.close(fd)


def recipients(out, channel, number):
    """The recipients of one channel file; none if there is no such file. Raises OSError."""
    try:
        fd = os.open(names.split(channel, number), READ)
    except FileNotFoundError:
        return
    start = {b"T": b"\t%b\t" % channel.encode(), b"D": b"  done\t%b\t" % channel.encode()}
    try:
        for _, record in envelope.records(fd):
            if record[:1] in start:
                out.put(b"%b%b\n" % (start[record[:1]], record[1:].translate(SAFE)))
    finally:
        os.close(fd)


class Output:
    def __init__(self):
        self._held, self._size = [], 0

    def put(self, text):
        self._held.append(text)
        self._size += len(text)
        if self._size > HELD:
            self.flush()

    def flush(self):
        held, self._held, self._size = self._held, [], 0
        netio.write_all(1, b"".join(held))
