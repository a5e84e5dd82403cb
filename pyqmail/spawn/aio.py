"""A spawner on an event loop: orders on descriptor 0, deliveries as coroutines, reports on descriptor 1.

An order is checked and reported independently of all others, and carried out so, too, unless several are for one
message, sender and host, have come in one read, and the carrier wants them together. Reports go out in the order
in which deliveries end. At end of file the running deliveries are finished. When nobody reads the
reports any more, deliveries go on unreported, as qmail's do: qmail-send will try them again.
"""
import asyncio
import os
import select

from . import orders, wire

READ = 1 << 16
PIECE = 4096                        # PIPE_BUF: what a writable pipe takes for sure without blocking


class Spawner:
    """carry(orders, message) is a coroutine function that gives the texts of the reports on these orders, which differ
    in number and recipient only; `message` is a descriptor that it must not close. limit, width: as in spawn.wire.
    owner: the uid of qmailq. leave(): True if another process is to take over from here. together(): how many orders
    carry() wants at once."""

    def __init__(self, carry, limit, width, owner, leave=lambda: False, together=lambda: 1):
        self._carry, self._limit, self._width, self._owner, self._together = carry, limit, width, owner, together
        self._reader = wire.OrderReader(width)
        self._running = {}                      # delnum -> task
        self._reports = bytearray()
        self._writing, self._waiting = True, False      # there is a reader; it has not read for a while
        self._writable = select.poll()
        self._writable.register(1, select.POLLOUT)
        self._leave, self.left = leave, False

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
        self._accept(self._reader.feed(data))

    def _end(self):
        self._loop.remove_reader(0)
        if not self._ended.done():
            self._ended.set_result(None)

    def _accept(self, received):
        for group in orders.grouped(received, self._together() if len(received) > 1 else 1):
            self._begin(group)

    def _begin(self, group):
        """Check each order of a group, and begin the delivery of those that are sound. They have one message."""
        sound, message = [], None
        for order in group:
            try:
                if message is None:
                    message = orders.open_message(order, self._limit, self._running, self._owner)
                else:
                    orders.check(order, self._limit, self._running)
            except orders.Refused as refused:
                self._say(wire.report(order.delnum, refused.report, self._width))
                continue
            sound.append(order)
            self._running[order.delnum] = None
        if sound:
            task = self._loop.create_task(self._deliver(sound, message))
            self._running.update((order.delnum, task) for order in sound)

    async def _deliver(self, group, message):
        try:
            texts = await self._carry(group, message)
        except Exception as why:                # whatever it is, it is this delivery's alone
            text = b"ZInternal error in qmail-spawn: %b. (#4.3.0)\n" % type(why).__name__.encode("ascii", "replace")
            texts = [text] * len(group)
        finally:
            os.close(message)
            for order in group:
                del self._running[order.delnum]     # before the report: its reader may use the number at once
        for order, text in zip(group, texts, strict=True):
            self._say(wire.report(order.delnum, text, self._width))

    def _say(self, data):
        if self._writing:
            if not self._reports:
                self._flushed.clear()
                self._loop.call_soon(self._write)
            self._reports += data

    def _write(self):
        """What has gathered in a turn of the loop, in pieces; the rest whenever the pipe takes more: a slow qmail-send
        does not stop deliveries."""
        while self._reports and self._writable.poll(0):
            try:
                del self._reports[:os.write(1, self._reports[:PIECE])]
            except OSError:                     # nobody reads any more
                self._writing = False
                self._reports.clear()
        if self._reports:
            self._loop.add_writer(1, self._write)
            self._waiting = True
            return
        if self._waiting:
            self._loop.remove_writer(1)
            self._waiting = False
        self._flushed.set()
