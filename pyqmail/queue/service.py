"""The queue service: qmail-queue for everybody who may not write into the queue himself.

**Security**: uid qmailq, in queue/, no rights beyond, and confined to four directories of it. Linux ignores
set-uid on scripts, so the program that qmail makes set-uid qmailq is a service here. It reads packets of
strangers (message, envelope) and never looks at their contents beyond the envelope's record letters; it takes no
descriptor from anybody. Who the caller is comes from the kernel (SO_PEERCRED).

Two processes: a guardian that owns the listening socket and starts the worker again should it
ever die, and the worker (worker.py). The guardian forks and has no threads; the worker has threads and
never forks. A worker whose guardian dies finishes what it has; if the
service follows qmail-send it starts another one first. If both die at once, qmail-send sees it by the
pipe that every process of the service holds, and ends; who starts it again starts a service as well. A second service
for the same home waits for the first one's lock and then takes over.
"""
import fcntl
import os
import select
import time

from ..base import child, errors, home, local, prot, sig
from . import wire
from .confined import keeper
from .worker import Worker

HELD = 3                            # the descriptor of that pipe
QUEUE_TRIES = 300                   # times 0.1 s until a missing queue/ is an error
BACKLOG = 1024                      # connections that are not accepted yet


def serve(follow=None, held=False):
    """Be the service until SIGTERM, or until process `follow` is gone. held: HELD is open. Returns the exit status."""
    if held:
        os.set_inheritable(HELD, False)
    enter_queue()
    keeper()
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
    listener = local.listen(wire.address("socket.new"), BACKLOG)
    worker, started = 0, 0.0
    while True:
        if not worker:
            time.sleep(max(0, started + 1 - time.monotonic()))
            worker = start_worker(listener, follow, (lock, *watched, wake_writer), held)
            started = time.monotonic()
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


def start_worker(listener, follow, guardians, held):
    """Fork the worker; returns its pid. follow, held: see serve(). `guardians`: the descriptors it has no business
    with, above all the lock, which must not outlive the guardian."""
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
            worker = Worker(listener, guardian)
            worker.run()
            if follow and os.getppid() != guardian:
                start_successor(follow, held)
            worker.finish()
        except Exception as why:    # the guardian starts another
            errors.say("alert: qmail-queue service: ", errors.unforeseen(why))
    try:
        return child.fork(live)
    finally:
        sig.unblock(sig.TERM)


def start_successor(follow, held):
    """The guardian is dead and nobody else would notice: another service, in place of it and us."""
    program = os.fsencode(home.program("qmail-queue"))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    errors.say("warning: qmail-queue service guardian died, starting another")
    try:
        child.spawn(program, [program, b"--service", b"--follow", b"%d" % follow, *(b"--held",)[:held]],
                    {0: null, 1: 1, 2: 2, **({HELD: HELD} if held else {})})
    except OSError as why:
        errors.say("alert: qmail-queue service: unable to start another: ", errors.text(why))
    os.close(null)
