"""Local deliveries: orders in, reports out, everything under way in between.

**Security**: runs as root and parses nothing of a stranger's but the recipient, cut at its last "@". The
message is opened here, checked and passed on as a descriptor, never read. Which delivery it is: see identity.
Source: qmail-lspawn(8).
"""
import os

from ..base import errors, home, netio
from ..users import lookup
from ..users.codes import SYSTEM, Undecided
from . import classic, ending, hearing, orders, wire

READ = 1 << 16                      # bytes read at a time from qmail-send
FOREIGN_UID = b"ZThis installation delivers only to its owner. (#4.3.5)\n"


class Delivery:
    """A delivery under way. message: a descriptor, -1 once handed over; identity: identity.Identity, None before."""

    __slots__ = ("order", "local", "domain", "message", "identity")

    def __init__(self, order, message):
        self.order, self.message, self.identity = order, message, None
        self.local, _, self.domain = order.recipient.rpartition(b"@")


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
        self._reports = bytearray()     # of this turn
        self._reading = self._writing = True

    def run(self):
        """Greet, and serve until qmail-send closes descriptor 0 and everything is reported."""
        self._say(wire.hello())
        self._loop.watch(0, self._read_orders)
        while self._reading or self._deliveries:
            waits = [seconds for seconds in (self._pool.expire(), self._resolver.next()) if seconds is not None]
            self._write()
            self._loop.turn(min(waits, default=None))
        self._write()

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

    def _say(self, data):
        self._reports += data

    def _write(self):
        """The reports of a turn to qmail-send; when it is gone, deliveries are finished all the same."""
        if self._writing and self._reports:
            try:
                netio.write_all(1, self._reports)
            except OSError:
                self._writing = False
        self._reports = bytearray()

    def _begin(self, order):
        try:
            message = orders.open_message(order, wire.HELLO, self._deliveries, self._owner)
        except orders.Refused as why:
            self._say(wire.report(order.delnum, why.report))
            return
        delivery = self._deliveries[order.delnum] = Delivery(order, message)
        if delivery.local:
            self._resolver.ask(delivery.local, home.ours("qmail-getpw"), lambda found: self._found(delivery, found))
        else:
            self._refused(delivery, ending.DONE)    # nobody's address: done without delivery

    def _found(self, delivery, found):
        """Go on when it is known who controls the address; None: bin/qmail-getpw, not ours, is to say it."""
        try:
            if isinstance(found, Undecided):
                raise found
            self._deliver(delivery, None if found is None else lookup.controller(found))
        except Undecided as why:
            self._refused(delivery, ending.report(why.code, b""))
        except hearing.NoPipe:
            self._refused(delivery, orders.NO_PIPE)
        except OSError:
            self._refused(delivery, orders.NO_FORK)
        except Exception as why:        # a bug must not cost the other deliveries anything
            errors.say("alert: qmail-lspawn: ", errors.unforeseen(why))
            self._refused(delivery, ending.report(SYSTEM, b""))

    def _deliver(self, delivery, who):
        """Give the delivery to a warm process, or to bin/qmail-local if that is not ours, if it is for qmail-local
        to refuse (a home that is not absolute), or if nothing else takes it. Raises NoPipe, OSError: no fork."""
        if who and self._alone is not None and who.uid != self._alone:
            self._refused(delivery, FOREIGN_UID)
            return
        identity = delivery.identity = self._identities.of(delivery.order, delivery.message)
        arguments = who and (who.user, who.home, delivery.local, who.dash, who.ext, delivery.domain,
                             delivery.order.sender, self._aliasempty)
        if who and who.home.startswith(b"/") and home.ours("qmail-local") and self._pool.fits(arguments):
            known = identity.number, b"1" if identity.repeat else b"0"
            self._pool.deliver(who.uid, who.gid, (*arguments, *known), delivery.message,
                               lambda status, text: self._ended(delivery, status, text))
        else:
            classic.deliver(self._loop, delivery.message, lambda status, text: self._ended(delivery, status, text), {
                "controller": who, "local": delivery.local, "domain": delivery.domain, "sender": delivery.order.sender,
                "aliasempty": self._aliasempty, "environ": self._environ, "getpw_ids": self._getpw_ids,
                "identity": identity})
        self._let_go(delivery)

    @staticmethod
    def _let_go(delivery):
        """Close our descriptor of the message."""
        if delivery.message >= 0:
            os.close(delivery.message)
            delivery.message = -1

    def _refused(self, delivery, report):
        """The end of a delivery that nobody has begun."""
        self._let_go(delivery)
        self._finish(delivery, report)

    def _ended(self, delivery, status, text):
        """The end of a delivery: the delivering process is done, and nobody holds its output any more."""
        self._finish(delivery, ending.report(status, text))

    def _finish(self, delivery, report):
        del self._deliveries[delivery.order.delnum]
        if delivery.identity:
            self._identities.ended(delivery.identity, report[:1])
        self._say(wire.report(delivery.order.delnum, report))
