"""QMTP and QMQP as listening servers: many sessions in each of a few workers (base/listen.py).

**Security**: root binds the sockets and is qmaild for good before the first byte is read. Workers and
whatever they start gain no rights, have few files and little memory, as long as mail goes to our own
queue service; a qmail-queue put in its place may be set-uid and hungry.
"""
import asyncio
import os
import time

from ..base import control, errors, gate, home, limits, listen, prot, sig
from ..queue.confined import confined
from ..queue.flow import Flow
from ..rcptcheck.flow import Asker
from . import session as events
from .wire import NEED_DATA

READ = 65_536
SESSION = 3600                      # s that a whole session may take
TOTAL, TOTAL_MAX = 100, 10_000      # connections at once


class Protocol:
    """What is different about a server. name: the program's; service: qmtp or qmqp, part of the names of
    its control files; addresses: the default ones; strangers: whether clients that no rule names may
    come in; session(environ): the Session for a client, raises Temporary; forget(): read all control
    files again."""

    def __init__(self, name, service, addresses, session, *, strangers, forget=lambda: None):
        self.name, self.service, self.addresses, self.session = name, service, addresses, session
        self.strangers, self.forget = strangers, forget


def serve(protocol, verbose=False):
    """Listen until SIGTERM. Raises Temporary for what cannot be bound or read."""
    listening = listen.sockets(f"{protocol.service}listen", protocol.addresses)
    total = max(1, min(control.number(f"concurrency{protocol.service}", TOTAL), TOTAL_MAX))
    os.umask(0o022)
    return listen.serve(protocol.name, listening, lambda worker: Server(protocol, worker, verbose).run(),
                        total=total, role="qmaild")


class Server:
    """One worker. Every connection is a task."""

    def __init__(self, protocol, worker, verbose):
        self.protocol, self.worker = protocol, worker
        per_ip = control.number("concurrencyperip", max(1, worker.table.slots // 2))
        self.gate = gate.Gate(protocol.name, worker.table, rules=f"control/tcp.{protocol.service}.cdb", per_ip=per_ip,
                              local_host=control.line("me"), verbose=verbose, strangers=protocol.strangers)
        self.visits = set()

    def run(self):
        sig.ignore_pipe()
        prot.not_dumpable()
        asyncio.run(self.work())

    async def work(self):
        loop, self.ended, self.room = asyncio.get_running_loop(), asyncio.Event(), asyncio.Semaphore(self.worker.share)
        self.confined, self.asker = self.confine(), Asker(loop)
        loop.add_signal_handler(sig.TERM, self.ended.set)
        loop.add_signal_handler(sig.HUP, self.reload)
        accepting = [asyncio.ensure_future(self.accept(sock)) for sock in self.worker.sockets]
        await self.ended.wait()
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        for sock in self.worker.sockets:
            sock.close()            # whoever comes now must not wait in a queue that nobody looks at
        if self.visits:
            await asyncio.wait(self.visits, timeout=listen.GRACE)
        for task in self.visits:
            task.cancel()
        await asyncio.gather(*self.visits, return_exceptions=True)

    def confine(self):
        """What this worker is confined to; None if a foreign queue program needs rights, files and memory."""
        try:
            foreign = (b"QMAILQUEUE" in os.environb or not home.ours("qmail-queue")
                       or self.gate.rules.mention(b"QMAILQUEUE"))
        except errors.Temporary:
            foreign = False         # unreadable rules admit nobody
        if foreign:
            return None
        limits.enter(self.protocol.name)
        return confined()

    def reload(self):
        """SIGHUP."""
        self.gate.reload()
        self.protocol.forget()

    async def accept(self, listener):
        while True:
            await self.room.acquire()
            sock = None
            while sock is None:
                await ready(listener.fileno())
                if self.confined and self.confined.outgrown():
                    self.ended.set()
                    return          # another worker takes what comes
                try:
                    sock = listen.accept(listener)
                except OSError as why:          # no descriptors, no memory: those who have some must finish first
                    errors.say(self.protocol.name, ": warning: unable to accept: ", errors.text(why))
                    await asyncio.sleep(listen.FULL_PAUSE)
            sock.setblocking(False)
            visit = self.gate.enter(sock)
            if visit is None:
                self.room.release()
                continue
            task = asyncio.ensure_future(self.visit(sock, visit))
            self.visits.add(task)
            task.add_done_callback(self.visits.discard)
            if self.confined and (b"QMAILQUEUE" in visit.environ or not home.ours("qmail-queue")):
                self.ended.set()    # that program cannot work from here; a new worker, not confined, can run it

    async def visit(self, sock, visit):
        status = events.RESOURCES
        try:
            with sock:
                async with asyncio.timeout(SESSION):
                    session = self.protocol.session(visit.environ)
                    status = await Conversation(session, sock, visit.environ, self.asker).run()
        except TimeoutError:
            pass
        except Exception as why:    # a control file, a bug, no memory: this client comes again, the others go on
            errors.say(self.protocol.name, ": alert: ", errors.unforeseen(why))
        finally:
            self.gate.leave(visit, status)
            self.room.release()


class Conversation:
    """Carries out one session on a connection."""

    def __init__(self, session, sock, environ, asker):
        self.session, self.sock, self.environ, self.asker = session, sock, environ, asker
        self.loop, self.flow = asyncio.get_running_loop(), None

    async def run(self):
        """The status of the session; 0 if the client has gone. Raises OSError, Temporary."""
        try:
            while True:
                event = self.session.next_event()
                if event is NEED_DATA:
                    await self.flush()
                    data = await self.loop.sock_recv(self.sock, READ)
                    if not data:
                        return 0
                    self.session.feed(data)
                elif event is events.FLUSH:
                    await self.flush()
                elif event is events.CHECK:
                    await self.check()
                elif event is events.OPEN:
                    await self.open()
                elif event is events.END:
                    await self.submit()
                elif event is events.CLOSE:
                    await self.flush()
                    return self.session.status
                else:
                    await self.put(event)
        except ConnectionError:
            return 0
        finally:
            if self.flow is not None:
                self.flow.abandon()

    async def flush(self):
        if self.session.replies:
            await self.loop.sock_sendall(self.sock, bytes(self.session.replies))
            self.session.replies.clear()

    async def check(self):
        answered = self.loop.create_future()
        self.asker.ask(*self.session.questions, lambda answers: settle(answered, answers))
        self.session.answers = await answered

    async def open(self):
        try:
            self.flow = Flow(self.loop, self.environ)
        except OSError as why:
            errors.say("warning: unable to open the queue: ", errors.text(why))
            self.session.queue_failed()
        else:
            await self.put(self.session.queue_opened(int(time.time())))

    async def put(self, text):
        taken = self.loop.create_future()
        if not self.flow.put(text, lambda: settle(taken)):
            await taken

    async def submit(self):
        if self.session.refused:
            self.flow.fail()
        done = self.loop.create_future()
        self.flow.finish(self.session.sender, self.session.recipients, lambda *answer: settle(done, answer))
        answer, qp = await done
        self.flow = None
        self.session.answered(answer, qp, int(time.time()))


def settle(future, result=None):
    if not future.done():           # given up meanwhile
        future.set_result(result)


async def ready(fd):
    """Wait until there is something to read or to accept."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.add_reader(fd, settle, future)
    try:
        await future
    finally:
        loop.remove_reader(fd)
