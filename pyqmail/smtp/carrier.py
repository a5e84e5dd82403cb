"""Remote deliveries as coroutines: one process carries thousands of them.

The same dialogue, routing, table and limits as bin/qmail-remote, driven by an event loop. Deliveries
share nothing but the resolver's cache and the table of silent hosts; what goes wrong in one is that
one's report. Memory of a delivery: two blocks of the message and one reply.
"""
import asyncio
import errno
import os
import random
import socket

from ..base import dns
from ..base.clock import Clock
from ..base.errors import Permanent, Temporary
from . import client, remote, reports, route, tcpto


class Carrier:
    """Made inside a running event loop."""

    def __init__(self):
        self._resolver = dns.AsyncResolver()
        self._table = tcpto.Table(patient=False)
        self._spread = random.Random()

    def warm(self):
        """Load now what the first look-up would stop all deliveries for."""
        self._resolver.warm()

    async def deliver(self, message, host, sender, recipient):
        """qmail-rspawn's report on one delivery of the message that descriptor `message` holds.

        Never raises, cancellation apart: a fault of ours is a temporary report. The descriptor stays open.
        """
        try:
            async with asyncio.timeout(remote.DELIVERY_MAX):
                output = await self._output(message, host, sender, recipient)
        except Exception as why:
            output = remote.trouble(why) + b"\0"
        return reports.summary(output)

    async def _output(self, message, host, sender, recipient):
        """What bin/qmail-remote would have written."""
        try:
            settings = remote.settings(host)
            steps = route.walk(host, settings.relay, settings.ours)
            sock, address = await self._reach(steps, settings.connect_timeout)
        except route.Unreachable as why:
            return why.report + b"\0"
        session = client.Session(address, settings.helo, sender, [recipient])
        with sock:
            try:
                await _converse(sock, session, message, settings.timeout)
            except OSError:
                session.lost()
            except Exception as why:            # a bug; after a verdict it changes nothing
                return session.report + remote.trouble(why) + b"\0"
        return session.report

    async def _reach(self, steps, timeout):
        """(socket, address) of the first host that takes a connection. Raises route.Unreachable."""
        step, end = next(steps), Clock.monotonic() + remote.DNS_MAX
        while True:
            if isinstance(step, route.Lookup):
                step = steps.send(await asyncio.gather(*(self._look_up(*each, end) for each in step.questions)))
            else:
                sock = await self._connect(step, timeout)
                if sock:
                    return sock, step.address
                step = steps.send(None)

    async def _look_up(self, name, kind, end):
        try:
            async with asyncio.timeout(max(0, end - Clock.monotonic())):
                return await self._resolver.lookup(name, kind)
        except (Permanent, Temporary) as why:
            return why
        except TimeoutError:
            return Temporary("too many slow name servers")

    async def _connect(self, step, timeout):
        """A connected socket; None if the host is not reachable, or was not lately."""
        skip, known = self._table.skip(step.address, Clock.now(), self._spread.randrange(32))
        if skip:
            return None
        try:
            sock = socket.socket(remote.family(step.address), socket.SOCK_STREAM)
        except OSError as why:
            if why.errno == errno.EAFNOSUPPORT:         # a machine without IPv6
                return None
            raise
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(sock, (step.address.decode(), step.port))
        except TimeoutError:
            sock.close()
            self._table.timed_out(step.address, Clock.now())
            return None
        except OSError:
            sock.close()
            sock = None
        except BaseException:
            sock.close()
            raise
        if known:
            self._table.answered(step.address)
        return sock


async def _converse(sock, session, message, timeout):
    """The whole dialogue. Raises OSError or TimeoutError when the connection breaks or falls silent."""
    loop, waiting_since = asyncio.get_running_loop(), Clock.monotonic()
    while session.wants is not client.NOTHING:
        if session.wants is client.MESSAGE:
            await _send_message(sock, session, message, timeout)
            waiting_since = Clock.monotonic()
            continue
        async with asyncio.timeout(timeout):
            data = await loop.sock_recv(sock, 4096)
        answer = session.receive(data)
        if answer:
            await _send(sock, answer, timeout)
            waiting_since = Clock.monotonic()
        elif Clock.monotonic() - waiting_since > remote.PATIENCE * timeout:
            session.lost()


async def _send_message(sock, session, message, timeout):
    """The last block goes out together with the final dot: a small message is one packet."""
    at, ready = 0, b""
    while True:
        try:
            block = os.pread(message, remote.BLOCK, at)         # from the page cache: queued a moment ago
        except OSError:
            session.unreadable()
            return
        if not block:
            break
        at += len(block)
        await _send(sock, ready, timeout)
        ready = session.body(block)
        await asyncio.sleep(0)      # a fast receiver of a big message does not stop the others
    await _send(sock, ready + session.body_end(), timeout)
    await _send(sock, session.proceed(), timeout)


async def _send(sock, data, timeout):
    if data:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_sendall(sock, data)
