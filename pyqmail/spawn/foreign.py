"""A program in qmail-remote's place, run for one delivery while an event loop goes on.

It gets the message as descriptor 0 and one pipe as both 1 and 2; it has ended when it is dead *and*
everybody who held that pipe has closed it.
"""
import asyncio
import os

from ..base import child, sig
from . import orders

OUTPUT_MAX = 1 << 20                # bytes that are kept of what it says
READ = 1 << 16
CANNOT_RUN = 111                    # also for a program that is not there: mail must not bounce for want of a file


class Children:
    """The programs that are running. Made inside a running event loop."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._ends = {}                         # pid -> future of its exit status
        self._loop.add_signal_handler(sig.CHLD, self._reap)

    async def run(self, argv, search, message):
        """(status, output) of argv[0], looked up along `search` (PATH) if it has no slash. Status: the exit code,
        or minus the signal's number. Raises orders.Refused if it cannot even be tried."""
        try:
            read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            raise orders.Refused(orders.NO_PIPE) from None
        try:
            os.set_blocking(write, True)        # for the program; the reading end has its own flag
            pid = self._start(argv, search, message, write)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        end = self._ends[pid] = self._loop.create_future()
        try:
            self._reap()                        # it may be dead already
            output = await self._read_all(read)
        finally:
            os.close(read)
        return await end, output

    @staticmethod
    def _start(argv, search, message, write):
        try:
            return child.start(argv[0], argv, {0: message, 1: write, 2: write}, search=search, failed=CANNOT_RUN,
                               prepare=lambda: sig.unblock(sig.CHLD))
        except OSError:
            raise orders.Refused(orders.NO_FORK) from None

    async def _read_all(self, fd):
        output, more = bytearray(), asyncio.Event()
        self._loop.add_reader(fd, more.set)
        try:
            while True:
                try:
                    data = os.read(fd, READ)
                except BlockingIOError:
                    more.clear()
                    await more.wait()
                    continue
                if not data:
                    return bytes(output)
                output += data[:OUTPUT_MAX - len(output)]
        finally:
            self._loop.remove_reader(fd)

    def _reap(self):
        for pid, status in child.reap():
            self._ends.pop(pid).set_result(status)
