"""Connections to mail servers that stay for the next message.

Only in a crowd: a connection is kept when, at the end of its message, another delivery to the same server is under
way, and it goes as soon as it has been idle for IDLE_TIME, was open for AGE_MAX, or has carried what
control/remotemessages allows. A delivery by itself says what qmail-remote says, and QUIT.

Deliveries that wait for a server's greeting come first: a server with room for 50 connections serves the 51st when it
has taken leave of another one, which, kept, would wait for work meanwhile.
"""
from collections import Counter, OrderedDict

IDLE_TIME = 2                       # s; servers begin to count an idle client's seconds, too
AGE_MAX = 300                       # s; long enough to save what is to be saved, short enough to see that MX has changed
QUIT = b"QUIT\r\n"


class Kept:
    """server: anything hashable that says who is at the other end. loop: asyncio's. most: idle connections."""

    def __init__(self, loop, most):
        self._loop, self._most = loop, most
        self._busy, self._alone = Counter(), Counter()  # server -> deliveries under way, and those of them alone
        self._idle = {}             # server -> {Connection: None}, the one used last at the end
        self._wanted = {}           # server -> {Future: None} of those who wait for its greeting, in their order
        self._since = OrderedDict()     # idle Connection -> (server, time), the longest idle first
        self._timer = None

    def __len__(self):
        return len(self._since)

    def crowd(self, server):
        """True if there are other deliveries to this server than the one that asks."""
        return self._busy[server] > 1

    def stays(self, server):
        """True if a connection to this server is of use to others, and takes nobody's place."""
        return self.crowd(server) and not self._alone[server]

    def arrive(self, server, alone):
        """A delivery to this server begins. alone: it wants a connection of its own, for which there must be room."""
        self._busy[server] += 1
        if alone:
            self._alone[server] += 1
            while server in self._idle:
                self._dismiss(next(iter(self._idle[server])))

    def leave(self, server, alone):
        """It is over."""
        for counter in (self._busy, self._alone)[:1 + alone]:
            counter[server] -= 1
            if not counter[server]:
                del counter[server]

    def take(self, server):
        """An idle connection to this server; None."""
        if server not in self._idle:
            return None
        connection = next(reversed(self._idle[server]))
        self._remove(connection)
        return connection

    def want(self, server, offer):
        """offer: a future; it gets the next connection that could be kept, if it has got nothing better by then."""
        self._wanted.setdefault(server, {})[offer] = None

    def want_no_more(self, server, offer):
        others = self._wanted[server]
        del others[offer]
        if not others:
            del self._wanted[server]

    def keep(self, server, connection):
        """A connection whose dialogue has ended well; it is closed if it has been open for long."""
        now = self._loop.time()
        if now - connection.born >= AGE_MAX:
            connection.close(QUIT)
            return
        for offer in self._wanted.get(server, ()):
            if not offer.done():
                offer.set_result(connection)
                return
        self._idle.setdefault(server, {})[connection] = None
        self._since[connection] = server, now
        connection.left = self._left
        if len(self._since) > self._most:
            self._dismiss(next(iter(self._since)))
        if not self._timer:
            self._timer = self._loop.call_later(IDLE_TIME, self._expire)

    def close(self):
        """Take leave of all idle connections."""
        while self._since:
            self._dismiss(next(iter(self._since)))
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _left(self, connection):
        self._remove(connection)
        connection.close()

    def _dismiss(self, connection):
        self._remove(connection)
        connection.close(QUIT)

    def _remove(self, connection):
        server, _ = self._since.pop(connection)
        others = self._idle[server]
        del others[connection]
        if not others:
            del self._idle[server]
        connection.left = None

    def _expire(self):
        self._timer, now = None, self._loop.time()
        while self._since:
            connection, (_, since) = next(iter(self._since.items()))
            if now - since < IDLE_TIME:
                self._timer = self._loop.call_at(since + IDLE_TIME, self._expire)
                return
            self._dismiss(connection)
