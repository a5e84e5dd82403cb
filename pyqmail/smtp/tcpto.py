"""queue/lock/tcpto: the hosts that did not answer lately, shared by all remote deliveries.

1024 bytes, 64 records of 16: IPv4 address (4, network order), number of timeouts (1; 0 = free, at
most 10), 3 unused, time of the last one in seconds since 1970 (4, little-endian), 4 unused. A shorter
file has fewer records; what is behind 1024 bytes is not looked at. flock() on the file guards
reading and writing. No file, no memory: everything works without it. IPv6 addresses are not kept.
Source: qmail-remote, qmail-tcpto, qmail-tcpok as recorded.
"""
import os
from collections import namedtuple

from ..base import home, netio
from ..queue.names import TCPTO, TCPTO_SIZE as SIZE

RECORD = 16                         # bytes
COUNT_MAX = 10
SOON = 120                          # s; a timeout so soon after the last one is the same trouble still
CLEAR = bytes(SIZE)

Record = namedtuple("Record", "address count when")     # bytes such as b"192.0.2.1", int, seconds since 1970


def path():
    return home.path("queue", TCPTO)


def parse(data):
    """The records in the bytes of the file, free ones too; an unfinished one at the end is none."""
    data = data[:SIZE]
    return [Record(b"%d.%d.%d.%d" % tuple(data[at:at + 4]), data[at + 4],
                   int.from_bytes(data[at + 8:at + 12], "little"))
            for at in range(0, len(data) - RECORD + 1, RECORD)]


def encode(record):
    """The 16 bytes of a record."""
    when = (record.when & 0xFFFFFFFF).to_bytes(4, "little")
    return packed(record.address) + bytes((record.count, 0, 0, 0)) + when + bytes(4)


def packed(address):
    """An IPv4 address in the 4 bytes of the file."""
    return bytes(map(int, address.split(b".")))


def to_skip(records, address, now, spread):
    """(True if the address should be left alone now, True if it has a record). spread: 0 to 31, different
    for each delivery, so that not all try again in the same second. A time in the future says nothing: the
    clock was set back since."""
    for record in records:
        if record.address == address:
            return record.count >= 2 and 0 <= now - record.when < (60 + spread) * 64, True
    return False, False


def after_timeout(records, address, now):
    """(index, new record) for a connection that timed out; None if that changes nothing."""
    for index, record in enumerate(records):
        if record.address == address:
            if record.count and record.when <= now < SOON + record.when:
                return None
            return index, Record(address, min(record.count + 1, COUNT_MAX), now)
    free = next((index for index, record in enumerate(records) if not record.count), None)
    if free is None and records:    # the oldest goes; each timeout counts as 1024 seconds of youth
        free = min(range(len(records)), key=lambda index: records[index].when + 1024 * records[index].count)
    return None if free is None else (free, Record(address, 1, now))


def after_answer(records, address):
    """(index, new record) for a host that was reached, or refused; None if it has no record."""
    for index, record in enumerate(records):
        if record.address == address:
            return index, record._replace(count=0)
    return None


class Table:
    """The file, opened for each question. patient: wait for the lock; else a locked table is as good as none,
    because an event loop must not stand still."""

    def __init__(self, patient=True):
        self._patient = patient

    def skip(self, address, now, spread):
        """As to_skip(), with the table as it is now."""
        if b":" in address:
            return False, False
        data = self._read()
        if packed(address) not in data:         # nearly always; the records cost 0.1 ms
            return False, False
        return to_skip(parse(data), address, now, spread)

    def timed_out(self, address, now):
        self._change(address, lambda records: after_timeout(records, address, now))

    def answered(self, address):
        self._change(address, lambda records: after_answer(records, address))

    def _read(self):
        try:
            fd = self._open()
        except OSError:
            return b""
        try:
            return os.pread(fd, SIZE, 0)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def _change(self, address, decide):
        if b":" in address:
            return
        try:
            fd = self._open()
        except OSError:
            return
        try:
            change = decide(parse(os.pread(fd, SIZE, 0)))
            if change:
                index, record = change
                os.pwrite(fd, encode(record), index * RECORD)
        except OSError:
            pass                    # a memory of hosts, not mail: what cannot be noted is not noted
        finally:
            os.close(fd)

    def _open(self):
        fd = os.open(path(), os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            lock(fd, self._patient)
        except OSError:
            os.close(fd)
            raise
        return fd


def lock(fd, patient=True):
    """The lock that all users of the file take; it goes with the descriptor. Raises OSError."""
    import fcntl                    # only when the table is really used
    fcntl.flock(fd, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))


def clear(fd):
    """Write 1024 zero bytes over the start of the file, under its lock. Raises OSError."""
    lock(fd)
    netio.write_all(fd, CLEAR)
