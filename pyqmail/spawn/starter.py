"""qmail-rspawn's two processes: the guardian, which may start programs, and the worker, which talks to strangers.

    guard(live, program)        in the guardian: forks the worker, live(sock, again) is its whole life

The worker is confined to what a delivery needs. A program that an administrator has put in qmail-remote's place needs
more, so the worker asks the guardian for it: one packet through `sock`, HOST NUL SENDER NUL RECIPIENT, with three
descriptors: the message, the pipe for the program's output, and one for how it ended, its exit code (minus the signal's
number) in decimal. Nothing at all there: it could not be started. Which program that is the guardian finds out by
itself, so whoever has taken over the worker can have nothing executed while qmail-remote is pyqmail's own.

A worker that ends with AGAIN cannot go on, for control files are where it may not look, and another one takes over.
However else the worker ends, so does the guardian, and the worker with it.
"""
import os
import select
import socket

from ..base import child, errors, netio, prot, sig

AGAIN = 75
PAUSE = 0.1                         # s
REQUEST_MAX = 1 << 18               # bytes; more than a program can be given
CANNOT_RUN = 111                    # also for a program that is not there: mail must not bounce for want of a file


def guard(live, program):
    """Be the guardian. live: see above; returns the worker's exit code. program(): the path or name of the program
    to run, None for none. Returns the worker's last exit code, 111 if a signal ended it."""
    guardian, status = Guardian(live, program), AGAIN
    again = False
    while status == AGAIN:
        status, again = guardian.serve(again), True
    return status if status >= 0 else errors.TEMPORARY


class Guardian:
    """It has no threads and holds no connection. As long as there is a worker, serve() runs."""

    def __init__(self, live, program):
        self._live, self._program = live, program
        self._wake, self._writer = sig.wake_pipe()
        sig.catch(sig.CHLD, lambda: None)
        self._endings = {}          # pid of a program: descriptor of the pipe for how it ended

    def serve(self, again):
        """Fork a worker and be at its service; its exit code. Raises OSError: no fork."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with ours:
            with theirs:
                worker = self._start_worker(ours, theirs, again)
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            poll.register(ours, select.POLLIN)
            while True:
                ready = {fd for fd, _ in poll.poll()}
                if ours.fileno() in ready and not self._take(ours):
                    poll.unregister(ours)       # the worker is ending
                sig.drain(self._wake)
                for pid, status in child.reap():
                    if pid == worker:
                        return status
                    self._tell(pid, status)

    def _start_worker(self, ours, theirs, again):
        guardian = os.getpid()

        def work():
            sig.wakeup(-1)
            sig.default(sig.CHLD)
            ours.close()
            netio.close_quietly(self._wake, self._writer)
            prot.die_with_parent(sig.KILL)
            return self._live(theirs, again) if os.getppid() == guardian else None
        return child.fork(work)

    def _take(self, sock):
        """One request; False when there will be no more."""
        try:
            data, fds, _, _ = socket.recv_fds(sock, REQUEST_MAX, 3)
        except ConnectionError:
            return False
        except OSError:                 # no memory, no descriptors: the request is still there
            select.select([], [], [], PAUSE)
            return True
        for fd in fds:
            os.set_inheritable(fd, False)       # recv_fds() passes no flags on
        words = data.split(b"\0")
        if len(words) == len(fds) == 3:
            self._run(words, *fds)
        else:
            netio.close_quietly(*fds)
        return bool(data)

    def _run(self, words, message, output, ending):
        program = self._program()
        try:
            if program is not None:
                pid = child.start(program, [program, *words], {0: message, 1: output, 2: output},
                                  search=child.search_path(), failed=CANNOT_RUN,
                                  prepare=lambda: sig.unblock(sig.CHLD))
                self._endings[pid], ending = ending, -1
        except OSError:
            pass                        # no fork: closing `ending` says so
        finally:
            netio.close_quietly(message, output, ending)

    def _tell(self, pid, status):
        ending = self._endings.pop(pid, -1)
        if ending >= 0:
            try:
                netio.write_all(ending, b"%d" % status)
            except OSError:
                pass                    # nobody wants to know
            os.close(ending)
