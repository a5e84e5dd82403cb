"""Threads for what may wait on the disk: the loop hands work out and collects what became of it.

Only the loop's thread changes qmail-send's state. A worker gets everything it needs as arguments,
reaches queue files through a descriptor of queue/ (the working directory belongs to the loop), and
its result is handed to `then` in the loop's thread.
"""
import collections
import os
import queue
import threading

STACK = 256 * 1024                  # bytes; nothing here recurses


class Wake:
    """A pipe that ends the loop's waiting: written to by workers, and by Python when a signal comes."""

    def __init__(self):
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __call__(self):
        try:
            os.write(self.writer, b"\0")
        except BlockingIOError:
            pass                    # so full that the loop will wake anyway

    def clear(self):
        try:
            os.read(self.reader, 65536)
        except BlockingIOError:
            pass


class Pool:
    """Up to `threads` threads, started as they are needed and never ended."""

    def __init__(self, threads, wake):
        self.threads, self._wake = threads, wake
        self._work, self._finished = queue.SimpleQueue(), collections.deque()
        self._started = self.active = 0

    @property
    def ready(self):
        """True if collect() has something to hand back."""
        return bool(self._finished)

    @property
    def free(self):
        """True if submit() finds a thread without work, or makes one."""
        return self.active < self.threads

    def submit(self, then, function, *arguments):
        """Have a thread call function(*arguments); collect() will call then(result, exception), one
        of which is None. Never raises: that no thread could be started is such an exception."""
        self.active += 1
        error = self._start() if self._started < min(self.threads, self.active) else None
        if error is not None and not self._started:
            self._finished.append((then, None, error))
            self._wake()
        else:                       # if there is no thread to be had, those that there are will do it
            self._work.put((then, function, arguments))

    def _start(self):
        """One thread more; what keeps it from starting, if anything does."""
        threading.stack_size(STACK)
        try:
            threading.Thread(target=self._labour, daemon=True).start()
        except RuntimeError as why:
            return why
        self._started += 1
        return None

    def collect(self):
        """Hand finished work back. Returns how many there were."""
        count = 0
        while self._finished:
            then, result, error = self._finished.popleft()
            self.active -= 1
            count += 1
            then(result, error)
        return count

    def _labour(self):
        while True:
            then, function, arguments = self._work.get()
            result = error = None
            try:
                result = function(*arguments)
            except Exception as why:        # the loop decides; a worker never dies of its work
                error = why
            self._finished.append((then, result, error))
            self._wake()
