"""A program in qmail-remote's place, run for one delivery while an event loop goes on.

It gets the message as descriptor 0 and one pipe as both 1 and 2; it has ended when it is dead *and*
everybody who held that pipe has closed it. The guardian starts it (starter.py).
"""
import asyncio
import os
import socket

from ..base import netio
from . import orders

OUTPUT_MAX = 1 << 20                # bytes that are kept of what it says
ENDING_MAX = 10                     # bytes of how it ended
READ = 1 << 16


class Children:
    """The programs that are running. Made inside a running event loop. guardian: our end of its socket."""

    def __init__(self, guardian):
        self._loop, self._guardian = asyncio.get_running_loop(), guardian

    async def run(self, host, sender, recipient, message):
        """(status, output) of the program. Status: the exit code, or minus the signal's number. Raises orders.Refused
        if it cannot even be tried."""
        pipes = []
        try:
            for _ in range(2):
                pipes += os.pipe2(os.O_CLOEXEC)
            output, write_output, ending, write_ending = pipes
        except OSError:
            netio.close_quietly(*pipes)
            raise orders.Refused(orders.NO_PIPE) from None
        try:
            try:
                socket.send_fds(self._guardian, [b"\0".join((host, sender, recipient))],
                                [message, write_output, write_ending])
            except OSError:
                raise orders.Refused(orders.NO_FORK) from None
            finally:
                netio.close_quietly(write_output, write_ending)
            said = await self._read_all(output, OUTPUT_MAX)
            status = await self._read_all(ending, ENDING_MAX)
        finally:
            netio.close_quietly(output, ending)
        if not status:
            raise orders.Refused(orders.NO_FORK)
        return int(status), said

    async def _read_all(self, fd, limit):
        os.set_blocking(fd, False)
        data, more = bytearray(), asyncio.Event()
        self._loop.add_reader(fd, more.set)
        try:
            while True:
                try:
                    piece = os.read(fd, READ)
                except BlockingIOError:
                    more.clear()
                    await more.wait()
                    continue
                if not piece:
                    return bytes(data)
                data += piece[:limit - len(data)]
        finally:
            self._loop.remove_reader(fd)
