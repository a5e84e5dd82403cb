"""A spawner on an event loop: orders on descriptor 0, deliveries as coroutines, reports on descriptor 1.

An order is checked, carried out and reported independently of all others; reports go out in the order
in which deliveries end. At end of file the running deliveries are finished. When nobody reads the
reports any more, deliveries go on unreported, as qmail's do: qmail-send will try them again.
"""
import asyncio
import os

from . import orders, wire

READ = 1 << 16
PIECE = 4096                        # PIPE_BUF: what a writable pipe takes for sure without blocking


class Spawner:
    """carry(order, message) is a coroutine function that gives the text of the report; `message` is a
    descriptor that it must not close. limit, width: as in spawn.wire. owner: the uid of qmailq. leave(): True if
    another process is to take over from here."""

    def __init__(self, carry, limit, width, owner, leave=lambda: False):
        self._carry, self._limit, self._width, self._owner = carry, limit, width, owner
        self._reader = wire.OrderReader(width)
        self._running = {}                      # delnum -> task
        self._reports = bytearray()
        self._writing, self._leave, self.left = True, leave, False

    async def run(self, greet=True):
        """Serve until descriptor 0 is at its end, or leave() says so, and everything is reported. left: which of the
        two. greet: say hello first."""
        self._loop = asyncio.get_running_loop()
        self._ended, self._flushed = self._loop.create_future(), asyncio.Event()
        self._flushed.set()
        if greet:
            self._say(wire.hello(self._limit, self._width))
        try:
            self._loop.add_reader(0, self._readable)
        except PermissionError:                 # a regular file: always readable, but not for epoll
            while not self._ended.done():
                self._readable()
                await asyncio.sleep(0)
        await self._ended
        while self._running:
            await asyncio.wait(list(self._running.values()))
        await self._flushed.wait()

    def _readable(self):
        if not self._reader.unfinished and self._leave():
            self.left = True
            self._end()
            return
        try:
            data = os.read(0, READ)
        except OSError:
            data = b""
        if not data:
            self._end()
        for order in self._reader.feed(data):
            self._accept(order)

    def _end(self):
        self._loop.remove_reader(0)
        if not self._ended.done():
            self._ended.set_result(None)

    def _accept(self, order):
        try:
            message = orders.open_message(order, self._limit, self._running, self._owner)
        except orders.Refused as refused:
            self._say(wire.report(order.delnum, refused.report, self._width))
            return
        self._running[order.delnum] = self._loop.create_task(self._deliver(order, message))

    async def _deliver(self, order, message):
        try:
            text = await self._carry(order, message)
        except Exception as why:                # whatever it is, it is this delivery's alone
            text = b"ZInternal error in qmail-spawn: %b. (#4.3.0)\n" % type(why).__name__.encode("ascii", "replace")
        finally:
            os.close(message)
            del self._running[order.delnum]     # before the report: its reader may use the number at once
        self._say(wire.report(order.delnum, text, self._width))

    def _say(self, data):
        if self._writing:
            self._reports += data
            self._flushed.clear()
            self._write()

    def _write(self):
        """One piece now, the rest whenever the pipe takes more: a slow qmail-send does not stop deliveries."""
        try:
            self._loop.add_writer(1, self._writable)
        except PermissionError:                 # a regular file takes everything
            while self._reports:
                self._writable()

    def _writable(self):
        try:
            del self._reports[:os.write(1, self._reports[:PIECE])]
        except OSError:                         # nobody reads any more
            self._writing = False
            self._reports.clear()
        if not self._reports:
            self._loop.remove_writer(1)
            self._flushed.set()
