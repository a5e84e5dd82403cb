"""One channel, local or remote: the places for deliveries, and the pipes to and from its spawner.

Orders go out without blocking: they are collected up to a bound and written as the pipe takes them. What
qmail-send keeps of a report is bounded as well: a spawner is not trusted to be brief.
"""
import collections
import heapq
import os

from ..queue import names
from ..spawn import wire
from .rewrite import verp
from .scheduler import Due

ORDERS = 1 << 15                    # bytes of orders kept back; with more, no delivery is started
READ = 1 << 16


class Job:
    """One pass over one channel file: from its opening until the last of its deliveries is reported."""
    __slots__ = ("number", "sender", "retry", "final", "references", "left", "complete")

    def __init__(self, number, sender, retry, final):
        self.number, self.sender = number, sender
        self.retry = retry          # when the file is due next, fixed at the opening
        self.final = final          # deferrals count as failures: the message is too old
        self.references = 1         # the reading of the file, and one each delivery
        self.left = 0               # recipients found to do, less those marked done
        self.complete = False       # the whole file has been read


class Delivery:
    __slots__ = ("job", "serial", "offset", "recipient")

    def __init__(self, job, serial, offset, recipient):
        self.job, self.serial, self.offset, self.recipient = job, serial, offset, recipient


class Reading:
    """The channel file that a pass is going through. long: it has given way to others before."""
    __slots__ = ("job", "fd", "records", "long")

    def __init__(self, job, fd, records):
        self.job, self.fd, self.records, self.long = job, fd, records, False


class Channel:
    """name: "local" or "remote". limit: most deliveries at once. width: bytes of a delivery number."""

    def __init__(self, name, orders, reports, limit, width=1):
        self.name, self.orders, self.reports, self.limit, self.width = name, orders, reports, limit, width
        self.due = Due()            # messages waiting for their next attempt; not those in a pass
        self.reading = None
        self.parked = collections.deque()       # Readings of long lists, while others have their turn
        self.turn = 0               # deliveries of this turn
        self.alive = True           # the spawner is there
        self.used = 0
        self._running = [None] * limit
        self._free = list(range(limit))         # a heap: the lowest free number is used
        self._out, self._reader = bytearray(), wire.ReportReader(width)

    @property
    def writing(self):
        """True if there are orders to be written."""
        return self.alive and bool(self._out)

    @property
    def available(self):
        """True if a delivery can be started."""
        return self.alive and self.used < self.limit and len(self._out) < ORDERS

    @property
    def counts(self):
        return self.name.encode(), self.used, self.limit

    @property
    def numbers(self):
        """The messages that are being delivered."""
        return {delivery.job.number for delivery in self._running if delivery}

    def start(self, delivery):
        """Give a delivery a number and write its order. Only while `available`."""
        number = heapq.heappop(self._free)
        self._running[number] = delivery
        self.used += 1
        message = delivery.job.number
        self._out += wire.order(number, b"%d/%d" % (message % names.SPLIT, message),
                                verp(delivery.job.sender, delivery.recipient), delivery.recipient, self.width)

    def running(self, number):
        """The delivery of a number; None if the number is not in use."""
        return self._running[number] if number < self.limit else None

    def release(self, number):
        self._running[number] = None
        self.used -= 1
        heapq.heappush(self._free, number)

    def write(self):
        """Write as many orders as the pipe takes. False when nobody reads them any more."""
        try:
            while self.writing:
                del self._out[:os.write(self.orders, self._out)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def read(self):
        """The reports that have come, as (number, text) pairs; None when the spawner is gone."""
        try:
            data = os.read(self.reports, READ)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        return self._reader.feed(data) if data else None
