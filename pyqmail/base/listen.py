"""Programs that listen: sockets bound by root, bytes read by nobody but workers without its rights.

    serve("qmail-smtpd", sockets("smtplisten", ["0.0.0.0:25"]), run, total=100, role="qmaild")

The process that calls serve() has the sockets (bound as root, or handed over by systemd), becomes
the role for good, and then forks the workers: run(worker) is a worker's whole life. It starts
another when one dies, and it never touches a connection itself. SIGTERM: workers stop accepting,
finish what they have, bounded by GRACE. SIGHUP is passed on to the workers, which read their
rules and control files again.

Whom to admit, the variables of a connection and the log lines: gate.py.
"""
import errno
import os
import selectors
import socket
import time

from . import accounts, child, control, errors, gate, limits, prot, sandbox, sig
from .endpoint import bind, parse

NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
GRACE = 60                          # s; sessions get this long to end after SIGTERM
PROCESSES = 4                       # workers at most; one a processor
FIRST_PASSED = 3                    # the descriptor at which systemd's sockets start
RESTART = 1                         # s between two starts of the same worker
DESCRIPTORS = 8                     # of a connection that submits to a program, at most
FULL_PAUSE = 0.5                    # s without accepting when descriptors or memory have run out


def sockets(name, defaults):
    """Listening sockets for the addresses in control/NAME, one ADDR:PORT a line ([ADDR]:PORT for IPv6).

    systemd's sockets, if it passed some, are taken instead. Of the defaults (used when there is no
    such control file) those whose protocol family this machine lacks are left out. Raises
    Temporary for an address that cannot be bound, and for a line that is no address.
    """
    passed = from_systemd()
    if passed:
        return passed
    lines = control.lines(name)
    bound = []
    try:
        for entry in defaults if lines is None else [os.fsdecode(line) for line in lines]:
            try:
                bound.append(bind(*parse(entry)))
            except ValueError:
                raise errors.Temporary(f"control/{name}: not an address and port: {entry}") from None
            except OSError as why:
                if lines is None and entry.startswith("[") and bound and why.errno in NO_FAMILY:
                    continue        # no IPv6 here, and nobody asked for it
                raise errors.Temporary(f"unable to bind {entry}: {errors.text(why)}") from why
        if not bound:
            raise errors.Temporary(f"control/{name} names no address to listen on")
    except errors.Temporary:
        for sock in bound:
            sock.close()
        raise
    return bound


def from_systemd():
    """The sockets that systemd opened for this very process; their variables are taken away."""
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    passed = [socket.socket(fileno=fd) for fd in range(FIRST_PASSED, FIRST_PASSED + int(count))]
    for sock in passed:
        sock.set_inheritable(False)
        sock.setblocking(False)
    return passed


class Worker:
    """What run() gets: `sockets` to accept from, `share` connections at once, the shared `table`."""

    def __init__(self, listening, share, table):
        self.sockets, self.share, self.table = listening, share, table


def serve(name, listening, run, *, total, role, at_most=PROCESSES):
    """Be the parent until SIGTERM. run(worker) is carried out in each worker. Returns 0.

    total: connections at once, over all workers: each has its share and stops accepting when it is
    used up, so that the next connection waits in the kernel or goes to a worker with room.
    at_most: workers; there are not more than processors either.
    """
    reader, _ = sig.wake_pipe()
    asked = []
    sig.catch(sig.TERM, lambda: asked.append(sig.TERM))
    sig.catch(sig.HUP, lambda: asked.append(sig.HUP))
    sig.catch(sig.CHLD, lambda: None)
    make_room(total, at_most)
    if role is not None and os.geteuid() == 0:
        prot.become(*accounts.ids(role))
    sandbox.check(name)
    table, count = gate.Table(total), processes(total, at_most)
    waiting = [Worker(listening, total // count + (n < total % count), table) for n in range(count)]
    running, not_before = {}, 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while sig.TERM not in asked:
            while waiting and time.monotonic() >= not_before:
                try:
                    running[start(waiting[-1], run)] = waiting[-1]
                    waiting.pop()
                except OSError as why:
                    errors.say(name, ": alert: unable to fork: ", errors.text(why))
                    not_before = time.monotonic() + RESTART
            selector.select(RESTART if waiting else None)
            sig.drain(reader)
            for pid, status in child.reap():
                if pid in running:
                    worker = running.pop(pid)
                    table.forget(pid)
                    waiting.append(worker)
                    if status:
                        errors.say(f"{name}: alert: worker {pid} died with status {status}, starting another")
                        not_before = time.monotonic() + RESTART
            if sig.HUP in asked:
                asked.remove(sig.HUP)
                tell(running, sig.HUP)
    for sock in listening:
        sock.close()
    end(running)
    return 0


def processes(total, at_most=PROCESSES):
    """How many workers share the connections."""
    return max(1, min(len(os.sched_getaffinity(0)), at_most, total))


def make_room(total, at_most=PROCESSES):
    """Descriptors enough for a worker's share of so many connections. Root can have more than the hard limit: to be
    called before becoming somebody else."""
    limits.descriptors(DESCRIPTORS * -(-total // processes(total, at_most)) + 64)


def start(worker, run):
    """Fork one worker; returns its pid. Raises OSError.

    A signal meant for the worker must not find our handlers in it.
    """
    parent = os.getpid()
    sig.block(sig.TERM, sig.HUP)
    try:
        return child.fork(lambda: live(parent, worker, run))
    finally:
        sig.unblock(sig.TERM, sig.HUP)


def live(parent, worker, run):
    """A worker's life."""
    sig.wakeup(-1)
    sig.default(sig.TERM, sig.CHLD)
    sig.ignore(sig.HUP)             # it has read nothing yet that could be old
    sig.unblock(sig.TERM, sig.HUP)
    prot.die_with_parent(sig.TERM)
    if os.getppid() == parent:
        run(worker)


def tell(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass                    # it ended just now: it will be reaped


def end(running):
    """Workers get SIGTERM, GRACE seconds and then SIGKILL."""
    tell(running, sig.TERM)
    deadline = time.monotonic() + GRACE + 5
    while running and time.monotonic() < deadline:
        for pid, _ in child.reap():
            running.pop(pid, None)
        if running:
            time.sleep(0.05)
    tell(running, sig.KILL)


def accept(listener):
    """The next connection; None if there is none any more. Raises OSError when there is no room for it."""
    try:
        return listener.accept()[0]
    except (BlockingIOError, InterruptedError, ConnectionError):
        return None                 # another worker was faster, or the client has gone
