"""qmail-send → spawner: orders.  Spawner → qmail-send: reports.  Both ends, as bytes in and out.

    hello     limit                                          once, spawner's first words
    order     delnum messid NUL sender NUL recipient NUL     messid is relative to queue/mess: b"12/1001"
    report    delnum text NUL                                text begins with K (done), Z (later) or D (never)

limit and delnum are unsigned numbers of `width` bytes: 1 is qmail's own form, 2 (little-endian) lifts
the limit of 255 deliveries at once. A delnum may contain NULs. Nothing separates one record from the next.
Readers are fed pieces of any size and give whole records; what they keep is bounded.
Source: qmail's INTERNALS; recorded bytes.
"""
from collections import namedtuple

HELLO = 120                         # qmail's compiled-in concurrency limit, b"x" on the wire
LIMITS = {1: 255, 2: 65535}         # width -> most deliveries at once
ORDER_MAX = 1 << 20                 # bytes of messid, sender and recipient together; a longer order is `oversize`
REPORT_MAX = 9_999                  # bytes of text that qmail-send keeps of a report: spawners are not trusted

Order = namedtuple("Order", "delnum messid sender recipient oversize", defaults=(False,))
Report = namedtuple("Report", "delnum text")


def hello(limit=HELLO, width=1):
    """The spawner's greeting: it carries out up to `limit` deliveries at once, numbered from 0."""
    return limit.to_bytes(width, "little")


def read_hello(data, width=1):
    """The limit in a greeting of exactly `width` bytes."""
    if len(data) != width:
        raise ValueError("greeting cut short")
    return int.from_bytes(data, "little")


def order(delnum, messid, sender, recipient, width=1):
    """The bytes of an order. Raises ValueError for a NUL in a field: it would become another order."""
    if b"\0" in messid + sender + recipient:
        raise ValueError("NUL in an order")
    return b"%b%b\0%b\0%b\0" % (delnum.to_bytes(width, "little"), messid, sender, recipient)


def report(delnum, text, width=1):
    """The bytes of a report; text is cut at its first NUL."""
    return b"%b%b\0" % (delnum.to_bytes(width, "little"), text.partition(b"\0")[0])


class Records:
    """A number of `width` bytes, then `count` fields, each ended by NUL: again and again.

    All fields of a record together keep at most `limit` bytes; what goes beyond is dropped.
    """

    def __init__(self, width, count, limit):
        self.width, self.count, self.limit = width, count, limit
        self._start()

    def _start(self):
        self._number, self._fields, self._field = bytearray(), [], bytearray()
        self._room, self._dropped = self.limit, False

    @property
    def unfinished(self):
        """True inside a record: end of file here means the other side died."""
        return bool(self._number)

    def feed(self, data):
        """The records that `data` completes, as a list of (number, fields, dropped)."""
        records, at = [], 0
        while at < len(data):
            if len(self._number) < self.width:
                piece = data[at:at + self.width - len(self._number)]
                self._number += piece
                at += len(piece)
                continue
            end = data.find(b"\0", at)
            self._keep(data[at:] if end < 0 else data[at:end])
            if end < 0:
                break
            at = end + 1
            self._fields.append(bytes(self._field))
            self._field = bytearray()
            if len(self._fields) == self.count:
                records.append((int.from_bytes(self._number, "little"), self._fields, self._dropped))
                self._start()
        return records

    def _keep(self, piece):
        self._dropped |= len(piece) > self._room
        self._field += piece[:self._room]
        self._room -= min(len(piece), self._room)


class OrderReader:
    """The spawner's end: feed(data) gives the orders that `data` completes. An order longer than ORDER_MAX
    comes with oversize=True and its fields cut."""

    def __init__(self, width=1):
        self._records = Records(width, 3, ORDER_MAX)

    @property
    def unfinished(self):
        """True inside an order."""
        return self._records.unfinished

    def feed(self, data):
        return [Order(number, *fields, dropped) for number, fields, dropped in self._records.feed(data)]


class ReportReader:
    """qmail-send's end: feed(data) gives the reports that `data` completes, texts cut at REPORT_MAX bytes."""

    def __init__(self, width=1):
        self._records = Records(width, 1, REPORT_MAX)

    def feed(self, data):
        return [Report(number, fields[0]) for number, fields, _ in self._records.feed(data)]
