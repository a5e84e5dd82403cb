"""Remote deliveries as coroutines: one process carries thousands of them.

The same dialogue, routing, table and limits as bin/qmail-remote, driven by an event loop; what takes
part in a dialogue is in smtp.connection, which connections stay in smtp.kept. Deliveries share nothing else but
the resolver's cache and the table of silent hosts; what goes wrong in one is that one's report.
"""
import asyncio
import errno
import random
import socket

from ..base import dns
from ..base.clock import Clock
from ..base.errors import Permanent, Temporary
from . import client, remote, reports, route, tcpto
from .connection import Connection
from .kept import ROOM_AFTER, Kept


class Carrier:
    """Made inside a running event loop. most_idle: connections that may wait for another message."""

    def __init__(self, most_idle=100):
        self._loop = asyncio.get_running_loop()
        self._resolver = dns.AsyncResolver()
        self._table = tcpto.Table(patient=False)
        self._spread = random.Random()
        self._kept = Kept(self._loop, most_idle)
        self.current = remote.Current()

    def warm(self):
        """Load now what the first look-up would stop all deliveries for."""
        self._resolver.warm()

    def close(self):
        """No more deliveries."""
        self._kept.close()

    async def deliver(self, message, host, sender, recipients):
        """qmail-rspawn's report on each of these recipients of the message that descriptor `message` holds.

        Never raises, cancellation apart: a fault of ours is a temporary report. The descriptor stays open.
        """
        try:
            output = await self._output(message, host, sender, recipients)
        except Exception as why:
            output = remote.trouble(why) + b"\0"
        return reports.of_each(output, len(recipients))

    async def _output(self, message, host, sender, recipients):
        """What bin/qmail-remote would have written."""
        try:
            return await self._attempt(message, host, sender, recipients) or \
                await self._attempt(message, host, sender, recipients, plain=True)
        except route.Unreachable as why:
            return why.report + b"\0"
        except Temporary:
            return reports.NO_CONTROLS + b"\0"

    async def _attempt(self, message, host, sender, recipients, plain=False):
        """The same; b"" if a connection that had been kept was no good any more, so that nothing is decided.
        plain: on a fresh connection and without PIPELINING. Raises route.Unreachable."""
        settings, most = self.current.settings(host), 1 if plain else self.current.messages
        connection, visit = await self._reach(route.walk(host, settings.relay, settings.ours), settings, most)
        peer = connection.peer
        timer = None if connection.greeted else self._loop.call_later(ROOM_AFTER, overdue, connection, visit)
        try:
            session = client.Session(peer, sender, recipients,
                                     lambda: peer.messages < most and self._kept.stays(visit.server))
            try:
                await connection.run(session, message, settings.timeout)
            except Exception as why:            # a bug; after a verdict it changes nothing
                return session.report + remote.trouble(why) + b"\0"
            if session.stays:
                self._kept.keep(visit.server, connection)
                connection = None
            return session.report
        finally:
            visit.leave()
            if timer:
                timer.cancel()
            if connection:
                connection.close()

    async def _reach(self, steps, settings, most):
        """(Connection, Visit) of the first host that takes a connection. Raises route.Unreachable."""
        step, end = next(steps), Clock.monotonic() + remote.DNS_MAX
        while True:
            if isinstance(step, route.Lookup):
                step = steps.send(await self._look_up_all(step.questions, end))
                continue
            visit = self._kept.arrive((step.address, step.port), alone=most == 1)
            connection = None
            try:
                connection = await self._connection(visit.server, settings, most)
            finally:
                if connection is None:
                    visit.leave()
            if connection:
                return connection, visit
            step = steps.send(None)

    async def _connection(self, server, settings, most):
        """One that is there, or a new one; None if the host is not reachable, or was not lately."""
        connection = self._kept.take(server) if most > 1 else None
        if connection:
            return connection
        sock = await self._connect(*server, settings.connect_timeout)
        if sock is None:
            return None
        extended = most > 1 and self._kept.crowd(server)
        return Connection(self._loop, sock, client.Peer(server[0], settings.helo, extended))

    async def _look_up_all(self, questions, end):
        known = [self._resolver.known(*each) for each in questions]
        if None not in known:
            return known
        return await asyncio.gather(*(self._look_up(*each, end) for each in questions))

    async def _look_up(self, name, kind, end):
        try:
            async with asyncio.timeout(max(0, end - Clock.monotonic())):
                return await self._resolver.lookup(name, kind)
        except (Permanent, Temporary) as why:
            return why
        except TimeoutError:
            return Temporary("too many slow name servers")

    async def _connect(self, address, port, timeout):
        """A connected socket; None if the host is not reachable, or was not lately."""
        skip, known = self._table.skip(address, Clock.now(), self._spread.randrange(32))
        if skip:
            return None
        try:
            sock = socket.socket(remote.family(address), socket.SOCK_STREAM)
        except OSError as why:
            if why.errno == errno.EAFNOSUPPORT:         # a machine without IPv6
                return None
            raise
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(timeout):
                await self._loop.sock_connect(sock, (address.decode(), port))
        except TimeoutError:
            sock.close()
            self._table.timed_out(address, Clock.now())
            return None
        except OSError:
            sock.close()
            sock = None
        except BaseException:
            sock.close()
            raise
        if known:
            self._table.answered(address)
        return sock


def overdue(connection, visit):
    """The server has taken a connection, but says nothing yet: perhaps it is full."""
    if not connection.greeted:
        visit.make_room()
