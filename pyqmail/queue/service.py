"""The queue service: qmail-queue for everybody who may not write into the queue himself.

**Security**: uid qmailq, in queue/, no rights beyond. Linux ignores set-uid on scripts, so the
program that qmail makes set-uid qmailq is a service here. It reads two descriptors of strangers
(message, envelope) and never looks at their contents beyond the envelope's record letters. Who
the caller is comes from the kernel (SO_PEERCRED).

Two processes: a guardian that owns the listening socket and starts the worker again should it
ever die, and the worker, one thread a submission (fsync and reads run outside the interpreter
lock, so many submissions share one journal commit). The guardian forks and has no threads;
the worker has threads and never forks. A worker whose guardian dies finishes what it has; if the
service follows qmail-send it starts another one first. A second service for the same home waits
for the first one's lock and then takes over.
"""
import fcntl
import itertools
import os
import queue
import select
import socket
import struct
import threading
import time

from ..base import accounts, child, durable, errors, home, limits, prot, sig
from . import insert, wire

PER_USER = {"qmaild": 200, "qmails": 100}       # submissions at once: the network, bounces
PER_STRANGER = 50                   # of any other uid
STRANGERS = 150                     # of all other uids together: they cannot take the places of those two
DESCRIPTORS = 8 * (sum(PER_USER.values()) + STRANGERS) + 64     # a submission uses five
IDLE = 3600                         # s; a submission that sends nothing for so long is given up
REQUEST_TIME = 10                   # s for the request packet to arrive
QUEUE_TRIES = 300                   # times 0.1 s until a missing queue/ is an error
GRACE = 60                          # s for submissions under way when the service is asked to end
FULL = 71                           # exit code for one submission too many: "temporarily rejected"
FIRST_QP = 1 << 22                  # above every pid: numbers of submissions made without a process
LAST_QP = (1 << 31) - 1
CREDENTIALS = struct.Struct("3i")


def serve(follow=None):
    """Be the service until SIGTERM, or until process `follow` is gone. Returns the exit status."""
    enter_queue()
    os.umask(0o033)
    wake_reader, wake_writer = sig.wake_pipe()
    ends = []
    sig.catch(sig.TERM, lambda: ends.append(True))
    sig.catch(sig.CHLD, lambda: None)
    watched = [wake_reader]
    if follow:
        try:
            watched.append(os.pidfd_open(follow))
        except ProcessLookupError:
            return 0
    lock = wait_for_lock(watched, ends)
    if lock is None:
        return 0
    listener = listen()
    worker, started = 0, 0.0
    while True:
        if not worker:
            time.sleep(max(0, started + 1 - time.monotonic()))
            worker, started = start_worker(listener, follow, (lock, *watched, wake_writer)), time.monotonic()
        ready = select.select(watched, [], [], 60)[0]
        if wake_reader in ready:
            sig.drain(wake_reader)
        for _ in child.reap():
            worker = 0
            if not ends:
                errors.say("warning: qmail-queue service worker died, starting another")
        if ends or len(watched) > 1 and watched[1] in ready:
            break
    unlink(listener)
    os.close(lock)                  # the next service may begin while ours finishes what it has
    if worker:
        os.kill(worker, sig.TERM)
        child.wait(worker)
    return 0


def enter_queue():
    """Go to queue/. One that is not there yet (being mounted, or restored) is waited for a while."""
    for _ in range(QUEUE_TRIES):
        try:
            return os.chdir(home.path("queue"))
        except FileNotFoundError:
            time.sleep(0.1)
    return os.chdir(home.path("queue"))


def wait_for_lock(watched, ends):
    """The lock that one service at a time holds; None if it is time to end before we get it."""
    lock = os.open(home.path(wire.DIRECTORY, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            ready = select.select(watched, [], [], 0.5)[0]
            if ends or watched[1:2] and watched[1] in ready:
                os.close(lock)
                return None


def listen():
    """The listening socket, in place under its name before any client can miss it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    temporary, fd = wire.address("socket.new")
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    old = os.umask(0)
    listener.bind(temporary)
    os.umask(old)
    os.chmod(temporary, 0o666)      # like qmail-queue, for everybody: who calls is told by the kernel
    listener.listen(1024)
    os.rename(temporary, temporary.removesuffix(".new"))
    if fd is not None:
        os.close(fd)
    return listener


def unlink(listener):
    """Take the name away, if it still is ours, and stop listening."""
    where, fd = wire.address()
    try:
        os.unlink(where)
    except OSError:
        pass
    if fd is not None:
        os.close(fd)
    listener.close()


def start_worker(listener, follow, guardians):
    """Fork the worker; returns its pid. `guardians`: the descriptors it has no business with, above all the
    lock, which must not outlive the guardian."""
    guardian = os.getpid()
    sig.block(sig.TERM)             # one that comes now would reach the guardian's handler in the worker, and be lost

    def live():
        sig.wakeup(-1)
        sig.default(sig.TERM)       # until it has something to finish
        sig.unblock(sig.TERM)
        for fd in guardians:
            os.close(fd)
        prot.die_with_parent(sig.TERM)
        try:
            Worker(listener, guardian, follow).run()
        except Exception as why:    # the guardian starts another
            errors.say("alert: qmail-queue service: ", errors.unforeseen(why))
    try:
        return child.fork(live)
    finally:
        sig.unblock(sig.TERM)


def start_successor(follow):
    """The guardian is dead and nobody else would notice: another service, in place of it and us."""
    program = os.fsencode(home.program("qmail-queue"))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    errors.say("warning: qmail-queue service guardian died, starting another")
    try:
        child.spawn(program, [program, b"--service", b"--follow", b"%d" % follow], {0: null, 1: 1, 2: 2})
    except OSError as why:
        errors.say("alert: qmail-queue service: unable to start another: ", errors.text(why))
    os.close(null)


class Worker:
    """Accepts submissions and gives each to a thread of its own, as long as process `guardian` is its parent.
    follow: as in serve()."""

    def __init__(self, listener, guardian, follow):
        self.listener, self.guardian, self.follow = listener, guardian, follow
        self.flush = durable.data_flusher()
        self.groups = frozenset(os.getgroups()) - {os.getgid()}
        self.private = accounts.private() is not None
        self.roles = accounts.roles()
        self.numbers = itertools.cycle(range(FIRST_QP + time.time_ns() // 1000 % (1 << 24), LAST_QP))
        self.active, self.idle, self.lock = {}, 0, threading.Lock()
        self.work = queue.SimpleQueue()

    def run(self):
        threading.stack_size(256 * 1024)
        limits.descriptors(DESCRIPTORS)
        reader, _ = sig.wake_pipe()
        sig.catch(sig.TERM, lambda: None)
        sig.ignore(sig.HUP, sig.INT, sig.PIPE)
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.register(self.listener, select.POLLIN)
        while os.getppid() == self.guardian:
            ready = [fd for fd, _ in poll.poll()]
            if reader in ready:
                break
            self.accept()
        self.listener.close()
        if self.follow and os.getppid() != self.guardian:
            start_successor(self.follow)
        end = time.monotonic() + GRACE
        while self.active and time.monotonic() < end:
            time.sleep(0.02)

    def accept(self):
        try:
            sock, _ = self.listener.accept()
        except OSError as why:
            errors.say("warning: qmail-queue service unable to accept: ", errors.text(why))
            time.sleep(0.1)         # out of descriptors: those who have some must finish first
            return
        pid, uid, gid = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
        with self.lock:
            if not self.room(uid):
                return self.refuse(sock, f"too many submissions at once by uid {uid}")
            if self.idle:
                self.idle -= 1
            else:
                try:
                    threading.Thread(target=self.labour, daemon=True).start()
                except RuntimeError:        # those under way must not suffer for it
                    return self.refuse(sock, "unable to start a thread")
            self.active[uid] = self.active.get(uid, 0) + 1
        self.work.put((sock, pid, uid, gid))

    def room(self, uid):
        """True if this uid may have one more submission under way."""
        own = sum(PER_USER.values()) if self.private else PER_USER.get(self.roles.get(uid))
        if own is not None:
            return self.active.get(uid, 0) < own
        others = sum(count for other, count in self.active.items() if self.roles.get(other) not in PER_USER)
        return self.active.get(uid, 0) < PER_STRANGER and others < STRANGERS

    @staticmethod
    def refuse(sock, why):
        errors.say("warning: qmail-queue service: ", why)
        try:
            wire.send_answer(sock, FULL, 0)
        except OSError:
            pass
        sock.close()

    def labour(self):
        """A thread: one submission after the other."""
        while True:
            sock, pid, uid, gid = self.work.get()
            try:
                self.submission(sock, pid, uid, gid)
            except Exception as why:        # it must not cost the others anything
                errors.say("warning: qmail-queue service: ", errors.unforeseen(why))
            finally:
                sock.close()
                with self.lock:
                    self.active[uid] -= 1
                    if not self.active[uid]:
                        del self.active[uid]
                    self.idle += 1

    def submission(self, sock, pid, uid, gid):
        sock.settimeout(REQUEST_TIME)
        try:
            request = wire.receive_request(sock)
        except OSError:
            return
        if request is None:
            return
        message, envelope, as_pid = request
        qp = pid if as_pid else next(self.numbers)
        try:
            code = self.insert(message, envelope, insert.Caller(uid, gid, qp, insert.invoked(uid, self.roles)))
        finally:
            os.close(message)
            os.close(envelope)
        try:
            wire.send_answer(sock, code, qp)
        except OSError:
            pass                    # the caller is gone; if it was queued, it is queued

    def insert(self, message, envelope, caller):
        try:
            insert.insert(message, envelope, caller, IDLE, self.flush, self.groups)
            return 0
        except insert.Refused as why:
            return why.code
        except Exception as why:
            errors.say("warning: qmail-queue service: ", errors.unforeseen(why))
            return insert.reason(why)

