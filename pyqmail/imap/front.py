"""The front of authdaemond: connections, and what is asked in them.

**Security**: a uid of its own, which owns nothing; confined to what it holds. It takes requests apart, as far as a field is a field, and hands
each with its connection to the keeper; it sees no answer. Connections, their bytes and their time are bounded.
"""
import asyncio

from ..base import errors, limits, listen, passing, prot, sandbox, sig
from . import wire

NAME = "authdaemond"
CONNECTIONS = 200                   # at once; more wait
TIME = 30                           # s for a request to come
WAITING = 60                        # s for the keeper to take it: longer no client waits
RETRY = 0.02                        # s; the keeper is busy
STEP = 4096                         # bytes read at once


class Front:
    def __init__(self, listener, requests):
        """listener: a listening socket. requests: sending end of passing.pair()."""
        self.listener, self.requests = listener, requests
        self._visits = set()

    def run(self):
        """Until SIGTERM."""
        prot.not_dumpable()
        limits.descriptors(CONNECTIONS + 64)
        sandbox.enter(sandbox.Files())
        asyncio.run(self.work())

    async def work(self):
        loop, ended, room = asyncio.get_running_loop(), asyncio.Event(), asyncio.Semaphore(CONNECTIONS)
        loop.add_signal_handler(sig.TERM, ended.set)
        self.listener.setblocking(False)
        accepting = asyncio.ensure_future(self.accept(room))
        await asyncio.wait([accepting, asyncio.ensure_future(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()
        await asyncio.gather(accepting, *self._visits, return_exceptions=True)

    async def accept(self, room):
        loop = asyncio.get_running_loop()
        while True:
            await room.acquire()
            sock = None
            while sock is None:
                try:
                    sock, _ = await loop.sock_accept(self.listener)
                except OSError as why:
                    errors.say(NAME, ": warning: unable to accept: ", errors.text(why))
                    await asyncio.sleep(listen.FULL_PAUSE)
            task = asyncio.ensure_future(self.visit(sock, room))
            self._visits.add(task)
            task.add_done_callback(self._visits.discard)

    async def visit(self, sock, room):
        try:
            with sock:
                async with asyncio.timeout(TIME):
                    request = await self.read(sock)
                if request:
                    async with asyncio.timeout(WAITING):
                        await self.hand_over(sock, request.packed())
        except TimeoutError:
            errors.say(NAME, ": warning: a client was silent, or the checks have no time for it")
        except wire.Malformed as why:
            errors.say(NAME, ": warning: no request: ", str(why))
        except OSError:
            pass                    # the client has gone
        except Exception as why:
            errors.say(NAME, ": alert: ", errors.unforeseen(why))
        finally:
            room.release()

    @staticmethod
    async def read(sock):
        """The Request; None if the client went away."""
        loop, data = asyncio.get_running_loop(), b""
        while True:
            more = await loop.sock_recv(sock, STEP)
            if not more:
                return None
            data += more
            request = wire.parse(data)
            if request:
                return request

    async def hand_over(self, sock, data):
        while True:
            try:
                return passing.send(self.requests, sock, data)
            except BlockingIOError:
                await asyncio.sleep(RETRY)
