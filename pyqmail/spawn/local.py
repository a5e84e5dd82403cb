"""Local deliveries: orders in, reports out, everything under way in between.

**Security**: runs as root and parses nothing of a stranger's but the recipient, cut at its last "@". The
message is opened here, checked and passed on as a descriptor, never read. Which delivery it is: see identity.
Source: qmail-lspawn(8).
"""
import os

from ..base import errors, home, netio
from ..users import lookup
from ..users.codes import SYSTEM, Undecided
from . import classic, ending, orders, wire

READ = 1 << 16                      # bytes read at a time from qmail-send, and of a delivery's output
FOREIGN_UID = b"ZThis installation delivers only to its owner. (#4.3.5)\n"


class Delivery:
    """A delivery under way. message and output: descriptors here, -1 once handed over; reader: the other
    end of output, -1 at its end; status: None until the process that delivers is done; identity: identity.Identity,
    None before it is handed on."""

    __slots__ = ("order", "local", "domain", "message", "output", "reader", "text", "status", "report", "identity")

    def __init__(self, order, message, reader, output):
        self.order, self.message, self.reader, self.output = order, message, reader, output
        self.local, _, self.domain = order.recipient.rpartition(b"@")
        self.text, self.status, self.report, self.identity = ending.Output(), None, None, None


class LocalSpawner:
    """qmail-lspawn's work.

    loop: spawn.loop.Loop; resolver: who controls an address; pool: warm.Pool; owner: uid of qmailq;
    alone: the uid of a private home's owner, else None; identities: identity.Identities; aliasempty, environ,
    getpw_ids: see classic.
    """

    def __init__(self, loop, resolver, pool, *, owner, alone, identities, aliasempty, environ, getpw_ids):
        self._loop, self._resolver, self._pool, self._identities = loop, resolver, pool, identities
        self._owner, self._alone = owner, alone
        self._aliasempty, self._environ, self._getpw_ids = aliasempty, environ, getpw_ids
        self._orders = wire.OrderReader()
        self._deliveries = {}           # delnum -> Delivery
        self._reading = self._writing = True

    def run(self):
        """Greet, and serve until qmail-send closes descriptor 0 and everything is reported."""
        self._write(wire.hello())
        self._loop.watch(0, self._read_orders)
        while self._reading or self._deliveries:
            waits = [seconds for seconds in (self._pool.expire(), self._resolver.next()) if seconds is not None]
            self._loop.turn(min(waits, default=None))

    def _read_orders(self):
        try:
            data = os.read(0, READ)
        except OSError:
            data = b""
        if not data:
            self._reading = False
            self._loop.forget(0)
        for order in self._orders.feed(data):
            self._begin(order)

    def _write(self, data):
        """To qmail-send; when it is gone, deliveries are finished all the same."""
        if self._writing:
            try:
                netio.write_all(1, data)
            except OSError:
                self._writing = False

    def _begin(self, order):
        try:
            message = orders.open_message(order, wire.HELLO, self._deliveries, self._owner)
        except orders.Refused as why:
            self._write(wire.report(order.delnum, why.report))
            return
        try:
            reader, output = os.pipe2(os.O_CLOEXEC)
        except OSError:
            os.close(message)
            self._write(wire.report(order.delnum, orders.NO_PIPE))
            return
        os.set_blocking(reader, False)
        delivery = self._deliveries[order.delnum] = Delivery(order, message, reader, output)
        self._loop.watch(reader, lambda: self._read_output(delivery))
        if delivery.local:
            self._resolver.ask(delivery.local, home.ours("qmail-getpw"), lambda found: self._found(delivery, found))
        else:
            self._ended(delivery, 0)    # nobody's address: done without delivery

    def _found(self, delivery, found):
        """Go on when it is known who controls the address; None: bin/qmail-getpw, not ours, is to say it."""
        try:
            if isinstance(found, Undecided):
                raise found
            self._deliver(delivery, None if found is None else lookup.controller(found))
        except Undecided as why:
            self._ended(delivery, why.code)
        except OSError:
            delivery.report = orders.NO_FORK
            self._ended(delivery, SYSTEM)
        except Exception as why:        # a bug must not cost the other deliveries anything
            errors.say("alert: qmail-lspawn: ", errors.unforeseen(why))
            self._ended(delivery, SYSTEM)

    def _deliver(self, delivery, who):
        """Give the delivery to a warm process, or to bin/qmail-local if that is not ours, if it is for qmail-local
        to refuse (a home that is not absolute), or if nothing else takes it. Raises OSError: no fork."""
        if who and self._alone is not None and who.uid != self._alone:
            delivery.report = FOREIGN_UID
            self._ended(delivery, SYSTEM)
            return
        identity = delivery.identity = self._identities.of(delivery.order, delivery.message)
        descriptors, ended = (delivery.message, delivery.output), lambda status: self._ended(delivery, status)
        arguments = who and (who.user, who.home, delivery.local, who.dash, who.ext, delivery.domain,
                             delivery.order.sender, self._aliasempty)
        if who and who.home.startswith(b"/") and home.ours("qmail-local") and self._pool.fits(arguments):
            known = identity.number, b"1" if identity.repeat else b"0"
            self._pool.deliver(who.uid, who.gid, (*arguments, *known), *descriptors, ended)
        else:
            classic.deliver(self._loop, *descriptors, ended, {
                "controller": who, "local": delivery.local, "domain": delivery.domain, "sender": delivery.order.sender,
                "aliasempty": self._aliasempty, "environ": self._environ, "getpw_ids": self._getpw_ids,
                "identity": identity})
        self._hand_over(delivery)

    @staticmethod
    def _hand_over(delivery):
        """Close our message and our writing end: only those who deliver keep the output open."""
        for name in ("message", "output"):
            if getattr(delivery, name) >= 0:
                os.close(getattr(delivery, name))
                setattr(delivery, name, -1)

    def _ended(self, delivery, status):
        """The delivering process is done; others may still hold the output."""
        if delivery.status is not None:
            return
        delivery.status = status
        self._hand_over(delivery)
        if delivery.reader >= 0:
            self._read_output(delivery)         # usually all of it is there already
        else:
            self._finish(delivery)

    def _read_output(self, delivery):
        """Take what there is; no more than two pieces, so that no delivery holds up the others."""
        for _ in range(2):
            try:
                data = os.read(delivery.reader, READ)
            except BlockingIOError:
                return
            delivery.text.add(data)
            if not data:
                self._loop.forget(delivery.reader)
                os.close(delivery.reader)
                delivery.reader = -1
                if delivery.status is not None:
                    self._finish(delivery)
                return

    def _finish(self, delivery):
        """Both have come: the end of the delivering process and the end of the output."""
        del self._deliveries[delivery.order.delnum]
        text = delivery.report or ending.report(delivery.status, delivery.text)
        if delivery.identity:
            self._identities.ended(delivery.identity, text[:1])
        self._write(wire.report(delivery.order.delnum, text))
