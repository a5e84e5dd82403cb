"""qmail-smtpd as a listening server: what its parent sets up and how a worker lives."""
import asyncio
import os
import socket

from ..base import control, errors, gate, home, limits, listen, prot, sig
from ..base.received import Client
from ..base.transport import Transport
from ..queue.confined import confined
from ..rcptcheck.flow import Asker
from . import aio, session as smtp
from .policy import CachedPolicy
from .refusing import RefusingSession

NAME = "qmail-smtpd"
ADDRESSES = ["0.0.0.0:25", "[::]:25"]
RULES = "control/tcp.smtp.cdb"
TOTAL = 100                         # connections at once
TOTAL_MAX = 10_000
UNREAD = 65_536                     # bytes of replies that the kernel keeps for a client; it would go up to megabytes
REFUSED_TIMEOUT = 60                # s, for clients that RBLSMTPD turns away


def serve(verbose=False):
    """Listen until SIGTERM. Raises Temporary for what cannot be bound or read."""
    listening = listen.sockets("smtplisten", ADDRESSES)
    for sock in listening:          # connections have it from them
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    total = max(1, min(control.number("concurrencyincoming", TOTAL), TOTAL_MAX))
    os.umask(0o022)

    def run(worker):
        Server(worker, verbose).run()
    return listen.serve(NAME, listening, run, total=total, role="qmaild")


class Server:
    """One worker: accepts as long as it has room, and owns its Connections."""

    def __init__(self, worker, verbose):
        self.worker, self.policies, self.connections = worker, CachedPolicy(), set()
        per_ip = control.number("concurrencyperip", max(1, worker.table.slots // 2))
        self.gate = gate.Gate(NAME, worker.table, rules=RULES, per_ip=per_ip, local_host=control.line("me"),
                              verbose=verbose)
        self.accepting, self.ending, self.confined = False, False, None
        self.loop = asyncio.new_event_loop()
        self.asker = Asker(self.loop)
        self.over = self.loop.create_future()

    def run(self):
        sig.ignore_pipe()
        prot.not_dumpable()
        self.confine()
        self.loop.add_signal_handler(sig.TERM, self.end)
        self.loop.add_signal_handler(sig.HUP, self.reload)
        self.resume()
        self.loop.run_until_complete(self.over)

    def confine(self):
        """No new rights for anybody we start, no more files and memory than sessions need; but a qmail-queue that
        was put in place of ours may be set-uid and hungry. When such a one turns up later, this worker
        ends and another one, not confined, takes over (accept)."""
        if not self.foreign_queue():
            limits.enter("qmail-smtpd")
            self.confined = confined()

    def foreign_queue(self):
        """True if messages may go to a program that is not ours."""
        try:
            return (b"QMAILQUEUE" in os.environb or not home.ours("qmail-queue")
                    or self.gate.rules.mention(b"QMAILQUEUE"))
        except errors.Temporary:
            return False            # unreadable rules admit nobody

    def reload(self):
        """SIGHUP."""
        self.gate.reload()
        self.policies.forget()

    # accepting

    def resume(self):
        if not self.accepting and not self.ending and len(self.connections) < self.worker.share:
            self.accepting = True
            for sock in self.worker.sockets:
                self.loop.add_reader(sock, self.accept, sock)

    def pause(self):
        if self.accepting:
            self.accepting = False
            for sock in self.worker.sockets:
                self.loop.remove_reader(sock)

    def accept(self, listener):
        if self.confined and self.confined.outgrown():
            self.end()
            return
        try:
            sock = listen.accept(listener)
        except OSError as why:      # no descriptors, no memory: those who have some must finish first
            errors.say(NAME, ": warning: unable to accept: ", errors.text(why))
            self.pause()
            self.loop.call_later(listen.FULL_PAUSE, self.resume)
            return
        if sock is None:
            return
        visit = self.gate.enter(sock)
        if visit is None:
            return
        session, timeout = self.session(visit)

        def ended(connection, status):
            if connection in self.connections:
                self.connections.remove(connection)
                self.gate.leave(visit, status)
                self.resume()
                self.settle()
        connection = aio.Connection(self.loop, session, visit.environ, timeout, self.asker, ended)
        self.connections.add(connection)
        if len(self.connections) >= self.worker.share:
            self.pause()
        if self.confined and (b"QMAILQUEUE" in visit.environ or not home.ours("qmail-queue")):
            self.end()              # no message may go to that program from here
        sock.setblocking(False)
        Transport(self.loop, sock, connection)

    def session(self, visit):
        """(session, timeout) for a client: qmail-smtpd's, rblsmtpd's, or one that only says why there is none."""
        refused = visit.environ.get(b"RBLSMTPD")
        if refused:
            return RefusingSession(refused), REFUSED_TIMEOUT
        try:
            policy = self.policies.current()
        except errors.Temporary as why:
            errors.say(NAME, ": alert: ", str(why))
            session = RefusingSession(b"")
            session.replies.clear()
            session.close(smtp.CONTROLS)
            return session, REFUSED_TIMEOUT
        return smtp.Session(policy, Client(visit.environ), eager=False), policy.timeout

    # the end

    def end(self):
        """SIGTERM: no new clients; those who are not sending a message are sent away."""
        if self.ending:
            return
        self.ending = True
        self.pause()
        for connection in list(self.connections):
            connection.drain()
        self.loop.call_later(listen.GRACE, self.abort)
        self.settle()

    def abort(self):
        for connection in list(self.connections):
            connection.abort()
        self.settle()

    def settle(self):
        if self.ending and not self.connections and not self.over.done():
            self.over.set_result(None)
