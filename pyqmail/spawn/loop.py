"""A process that waits for descriptors and for its children, and forks.

There are no threads, so a fork is safe at any time. Callbacks run in turn(), never inside a signal handler.
"""
import os
import select

from ..base import child, sig

HIGHEST = 1 << 20                   # no descriptor number is above it
FAILED = 112                        # a forked process that does not end by itself ends like this: a bug


class Loop:
    """watch(fd, callback): callback() when fd is readable or at its end. fork(run, …): see there."""

    def __init__(self):
        self._poll, self._readers, self._children = select.epoll(), {}, {}
        self._always = set()            # regular files: readable at any time, and nothing to wait for
        self._wake, _ = sig.wake_pipe()
        sig.catch(sig.CHLD, lambda: None)
        self._poll.register(self._wake, select.EPOLLIN)

    def watch(self, fd, callback):
        self._readers[fd] = callback
        try:
            self._poll.register(fd, select.EPOLLIN)
        except PermissionError:
            self._always.add(fd)

    def forget(self, fd):
        """Stop watching fd, if it was watched. Must come before it is closed."""
        if self._readers.pop(fd, None):
            if fd in self._always:
                self._always.remove(fd)
            else:
                self._poll.unregister(fd)

    def turn(self, seconds=None):
        """Wait until something happens, at most `seconds`, and call back for all of it."""
        ready = [fd for fd, _ in self._poll.poll(0 if self._always else seconds)]
        woken = False
        for fd in (*ready, *self._always):
            if fd == self._wake:
                woken = True
            elif fd in self._readers:       # an earlier callback of this turn may have forgotten it
                self._readers[fd]()
        if woken:
            sig.drain(self._wake)
            self._reap()

    def _reap(self):
        for pid, status in child.reap():
            ended = self._children.pop(pid, None)
            if ended:
                ended(status)

    def fork(self, run, fds, ended):
        """Start a process that does run() and nothing else; returns its pid. Raises OSError.

        fds: {descriptor there: descriptor here}. All others are closed there; 0, 1 and 2 are
        /dev/null unless given; none survives execution but 0, 1 and 2. ended(status) is called
        here when it has ended: its exit code, or minus the signal's number.
        """
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            pid = child.fork(lambda: self._begin(run, {0: null, 1: null, 2: null, **fds}), FAILED)
        finally:
            os.close(null)
        self._children[pid] = ended
        return pid

    @staticmethod
    def _begin(run, fds):
        """In the child: run() ends the process; if it returns or raises, that is a bug."""
        sig.wakeup(-1)
        sig.default(sig.CHLD, sig.INT, sig.TERM, sig.HUP)
        child.place(fds)
        os.closerange(max(fds) + 1, HIGHEST)
        for fd in fds:
            os.set_inheritable(fd, fd <= 2)
        run()
        return FAILED
