"""The side of the recipient check that others talk to: takes questions, says where the mail would go, remembers.

**Security**: uid qmailp, forked from the root part and confined for good before it listens; reads what qmail-smtpd
passes on of strangers' addresses. The kernel says who asks: root, or qmaild, and nobody else is listened to. What it
orders of its root part is one local address, cut into its two parts.

Only that a mailbox exists is remembered, for KEPT seconds: who is told "unknown" bounces mail, so that is always looked
up. What many ask at once is looked up once.
"""
import socket
from collections import OrderedDict

from ..base import errors, limits, local, netio, prot, sandbox, sig
from ..base.cached import Cached
from ..base.errors import Temporary
from ..queue import wire as sockets
from ..send import routing
from ..send.rewrite import REMOTE
from . import wire

KEPT = 30                           # s for which it is believed that a mailbox exists
CACHE = 10_000                      # mailboxes remembered
UNDER_WAY = 500                     # recipients being looked up
ANSWER_TIME = 15                    # s for a look-up; LATER then
CONNECTIONS = 500
OF_ONE = 10 * wire.BATCH            # recipients that one connection may have under way


def serve(ids, allowed, root, loop, clock):
    """The process, from its first moment as root to its end. root: our end of the socket to the root part; allowed:
    the uids that may ask."""
    prot.become(*ids)
    prot.not_dumpable()
    limits.descriptors(CONNECTIONS + 50)
    limits.enter("qmail-rcptcheck")
    loop, listener = loop(), local.listen(sockets.address("socket.new", wire.DIRECTORY), CONNECTIONS)
    listener.setblocking(False)
    sandbox.enter(None)
    Front(loop, listener, root, allowed, clock).run()


class Asking:
    """A question under way: the answers so far, and to whom they go."""

    def __init__(self, client, number, count):
        self.client, self.number, self.answers, self.missing = client, number, [None] * count, count


class Connection:
    def __init__(self, sock):
        self.socket, self.under_way = sock, 0


class Front:
    """loop: spawn.loop.Loop; listener: where clients come; root: a socket to the root part; clock: base.clock.Clock."""

    def __init__(self, loop, listener, root, allowed, clock):
        self._loop, self._listener, self._root, self._allowed, self._clock = loop, listener, root, allowed, clock
        self._routing = Cached(routing.FILES, routing.current)
        self._cache = OrderedDict()         # (local, domain), lower case -> (until, answer), oldest first
        self._orders = OrderedDict()        # number -> (when, key, [(Asking, place)]), oldest first
        self._by_key = {}                   # key -> its number, while a look-up for every size is under way
        self._number, self._connections, self._ended = 0, 0, False
        self._packets = netio.Packets(wire.PACKET + 1)

    def run(self):
        """Until the root part has gone."""
        sig.ignore(sig.HUP)                 # the root part tells us
        sig.catch(sig.TERM, self.end)
        self._loop.watch(self._listener.fileno(), self._accept)
        self._loop.watch(self._root.fileno(), self._verdict)
        while not self._ended:
            self._loop.turn(self._expire())

    def end(self):
        self._ended = True

    def forget(self):
        """Believe nothing that was known before."""
        self._cache.clear()
        self._routing.forget()

    # ------------------------------------------------------------ those who ask

    def _accept(self):
        try:
            peer = local.accept(self._listener)
        except BlockingIOError:
            return
        except OSError as why:
            errors.say("warning: qmail-rcptcheck: unable to accept: ", errors.text(why))
            return
        if peer.uid not in self._allowed or self._connections >= CONNECTIONS:
            errors.say("warning: qmail-rcptcheck: ", f"refused a connection of uid {peer.uid}")
            peer.cut()
            return
        self._connections += 1
        connection = Connection(peer)
        self._loop.watch(peer.fileno(), lambda: self._readable(connection))

    def _readable(self, connection):
        try:
            packet = self._packets.receive(connection.socket)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        question = wire.read_question(packet)
        if question is None:
            self._close(connection)
            return
        number, size, addresses = question
        asking = Asking(connection, number, len(addresses))
        connection.under_way += asking.missing
        for place, address in enumerate(addresses):
            self._ask(address, size, asking, place)

    def _close(self, connection):
        if connection.socket.fileno() >= 0:
            self._loop.forget(connection.socket.fileno())
            connection.socket.cut()
            self._connections -= 1

    def _answer(self, asking, place, answer):
        """One answer is known; when all are, they go out. Who does not read them is let go."""
        asking.answers[place] = answer
        asking.missing -= 1
        asking.client.under_way -= 1
        if asking.missing or asking.client.socket.fileno() < 0:
            return
        try:
            asking.client.socket.send(wire.answer(asking.number, asking.answers))
        except OSError:
            self._close(asking.client)

    # ------------------------------------------------------------ what they ask

    def _ask(self, address, size, asking, place):
        """Answer about an address at once, or order that it be looked up."""
        try:
            channel, address = self._routing.current().route(address)
        except (Temporary, OSError) as why:
            errors.say("warning: qmail-rcptcheck: ", str(why))
            self._answer(asking, place, wire.LATER)
            return
        local, _, domain = address.rpartition(b"@")
        if channel == REMOTE or not local:      # elsewhere; or nobody's address, whose mail is done without delivery
            self._answer(asking, place, wire.KNOWN)
            return
        key = local.lower(), domain.lower()
        known = None if size else self._remembered(key)
        if known is not None:
            self._answer(asking, place, known)
        elif not size and key in self._by_key:
            self._orders[self._by_key[key]][2].append((asking, place))
        elif len(self._orders) >= UNDER_WAY or asking.client.under_way > OF_ONE:
            self._answer(asking, place, wire.LATER)
        else:
            self._order(key, size, local, domain, (asking, place))

    def _order(self, key, size, local, domain, waiting):
        """Have it looked up."""
        number = self._number = self._number + 1
        packet = wire.order(number, size, local, domain)
        if len(packet) > wire.ORDER:            # longer than any file name: what it is for, a delivery will tell
            self._answer(*waiting, wire.KNOWN)
            return
        try:
            self._root.send(packet, socket.MSG_DONTWAIT)
        except OSError:                         # it does not keep up, or is gone
            self._answer(*waiting, wire.LATER)
            return
        self._orders[number] = self._clock.monotonic(), key, [waiting]
        if not size:
            self._by_key[key] = number

    def _verdict(self):
        """A packet of the root part."""
        try:
            packet = self._root.recv(wire.ORDER, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        found = wire.read_answer(packet)
        if found is None:
            self.end()
            return
        number, [answer, *_] = found
        if number == wire.FORGET:
            self.forget()
        elif number in self._orders:
            key = self._settle(number, answer)
            if answer[:1] == wire.KNOWN:
                self._remember(key, answer)

    def _settle(self, number, answer):
        """Give an answer to all who wait for it; returns the key."""
        _, key, waiting = self._orders.pop(number)
        if self._by_key.get(key) == number:
            del self._by_key[key]
        for asking, place in waiting:
            self._answer(asking, place, answer)
        return key

    def _expire(self):
        """Give up look-ups that take too long. Returns the seconds to the next one's end, None if there is none."""
        now = self._clock.monotonic()
        while self._orders:
            number, (since, _, _) = next(iter(self._orders.items()))
            if now - since < ANSWER_TIME:
                return since + ANSWER_TIME - now
            self._settle(number, wire.LATER)
        return None

    # ------------------------------------------------------------ what is remembered

    def _remembered(self, key):
        until, answer = self._cache.get(key, (0, None))
        return answer if self._clock.monotonic() < until else None

    def _remember(self, key, answer):
        self._cache[key] = self._clock.monotonic() + KEPT, answer
        self._cache.move_to_end(key)
        if len(self._cache) > CACHE:
            self._cache.popitem(last=False)
