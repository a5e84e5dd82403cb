"""Connections to mail servers that stay for the next message.

Only in a crowd: a connection is kept when, at the end of its message, another delivery to the same server is under
way, and it goes as soon as it has been idle for IDLE_TIME, was open for AGE_MAX, or has carried what
control/remotemessages allows. A delivery by itself says what qmail-remote says, and QUIT.

Whoever is not served comes first: a server with room for 50 connections greets the 51st when it has taken leave of
another one. So nothing is kept while a delivery has waited longer than ROOM_AFTER for its greeting, or wants a
connection of its own.
"""
from collections import Counter, OrderedDict

IDLE_TIME = 2                       # s; servers begin to count an idle client's seconds, too
AGE_MAX = 300                       # s; short enough to see that MX has changed
ROOM_AFTER = 2                      # s
QUIT = b"QUIT\r\n"


class Visit:
    """A delivery's time with a server."""

    __slots__ = ("server", "_kept", "_alone")

    def __init__(self, kept, server):
        self.server, self._kept, self._alone = server, kept, False

    def make_room(self):
        """Until it leaves, nobody else keeps a connection to this server."""
        if not self._alone:
            self._alone = True
            self._kept._make_room(self.server)

    def leave(self):
        self._kept._leave(self.server, self._alone)


class Kept:
    """server: anything hashable that says who is at the other end. loop: asyncio's. most: idle connections."""

    def __init__(self, loop, most):
        self._loop, self._most = loop, most
        self._busy, self._alone = Counter(), Counter()  # server -> deliveries under way, and those of them alone
        self._idle = {}             # server -> {Connection: None}, the one used last at the end
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
        """A delivery to this server begins; gives its Visit. alone: it wants a connection of its own."""
        self._busy[server] += 1
        visit = Visit(self, server)
        if alone:
            visit.make_room()
        return visit

    def _make_room(self, server):
        self._alone[server] += 1
        while server in self._idle:
            self._dismiss(next(iter(self._idle[server])))

    def _leave(self, server, alone):
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

    def keep(self, server, connection):
        """A connection whose dialogue has ended well; it is closed if it has been open for long."""
        now = self._loop.time()
        if now - connection.born >= AGE_MAX:
            connection.close(QUIT)
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
