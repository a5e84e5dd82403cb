"""The accept workers of `qmail-popup --listen`: POP3 up to the login, many clients at once.

**Security**: qmaild, confined to reading control files. A worker knows no password file and starts nothing; what
a client says ends here as a name and a secret, which go with his connection to the authenticator.
"""
import os
import socket
import time

from ..auth import checkpassword
from ..base import errors, gate, limits, listen, prot, sandbox, sig
from ..base.without import Without
from . import handover, session, wire

with Without("ssl"):
    import asyncio

NAME = "qmail-popup"
RULES = "control/tcp.pop3.cdb"
LOGIN_TIME = 60                     # s from the greeting to the login
RETRY = 0.02                        # s; the authenticator's queue is full


class Front:
    """run() is a worker's life (listen.serve)."""

    def __init__(self, host, authenticator, per_ip, verbose):
        """authenticator: the sending end of handover.pair(). per_ip: connections at once from one address
        that have not logged in yet."""
        self.host, self.authenticator, self.per_ip, self.verbose = host, authenticator, per_ip, verbose
        self._serial = 0
        self._visits = set()

    def run(self, worker):
        prot.not_dumpable()
        limits.enter(NAME)
        self._confined = sandbox.Confined({}, sockets=(socket.AF_UNIX,))
        asyncio.run(self.work(worker))

    async def work(self, worker):
        doors = gate.Gate(NAME, worker.table, rules=RULES, per_ip=self.per_ip, local_host=self.host,
                          verbose=self.verbose)
        loop, ended, room = asyncio.get_running_loop(), asyncio.Event(), asyncio.Semaphore(worker.share)
        loop.add_signal_handler(sig.TERM, ended.set)
        loop.add_signal_handler(sig.HUP, doors.reload)
        accepting = [asyncio.ensure_future(self.accept(sock, doors, room, ended)) for sock in worker.sockets]
        await ended.wait()
        for task in (*accepting, *self._visits):    # who has not logged in yet loses nothing
            task.cancel()
        await asyncio.gather(*accepting, *self._visits, return_exceptions=True)

    async def accept(self, listener, doors, room, ended):
        while True:
            await room.acquire()
            sock = None
            while sock is None:
                await ready(listener)
                if self._confined.outgrown():
                    ended.set()
                    return          # another worker takes what comes
                try:
                    sock = listen.accept(listener)
                except OSError as why:
                    errors.say(NAME, ": warning: unable to accept: ", errors.text(why))
                    await asyncio.sleep(listen.FULL_PAUSE)
            sock.setblocking(False)
            visit = doors.enter(sock)
            if visit is None:
                room.release()
                continue
            task = asyncio.ensure_future(self.visit(sock, visit, doors, room))
            self._visits.add(task)
            task.add_done_callback(self._visits.discard)

    async def visit(self, sock, visit, doors, room):
        try:
            with sock:
                async with asyncio.timeout(LOGIN_TIME):
                    await self.authorize(sock)
        except TimeoutError:
            errors.say(NAME, ": no login within time from ", visit.ip)
        except OSError:
            pass                    # the client has gone
        except Exception as why:
            errors.say(NAME, ": alert: ", errors.unforeseen(why))
        finally:
            doors.leave(visit)
            room.release()

    async def authorize(self, sock):
        """The AUTHORIZATION state. Nothing beyond its last line is taken from the connection."""
        loop = asyncio.get_running_loop()
        self._serial += 1
        state = session.Authorization(b"<%d.%d.%d@%s>" % (os.getpid(), int(time.time()), self._serial, self.host))
        reader = wire.CommandReader()
        await loop.sock_sendall(sock, state.greeting())
        while not (state.login or state.over):
            data = await take_line(sock)
            if not data:
                return
            reader.feed(data)
            for command in reader:
                await loop.sock_sendall(sock, state.reply(command))
        if state.login:
            await self.hand_over(sock, checkpassword.encode(*state.login, state.stamp))

    async def hand_over(self, sock, login):
        while True:
            try:
                handover.send(self.authenticator, sock, login)
                return
            except BlockingIOError:
                await asyncio.sleep(RETRY)


async def take_line(sock):
    """What has come from the client, up to and including the first LF; b"" at the end."""
    while True:
        await ready(sock)
        try:
            data = sock.recv(wire.LIMIT, socket.MSG_PEEK)
            return sock.recv(data.find(b"\n") + 1 or len(data)) if data else b""
        except BlockingIOError:
            continue


async def ready(sock):
    """Wait until there is something to read or to accept."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.add_reader(sock, lambda: future.done() or future.set_result(None))
    try:
        await future
    finally:
        loop.remove_reader(sock)
