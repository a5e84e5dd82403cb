"""tests/death/tracer.py on some processes."""
import os
import select
import subprocess
import sys

TRACER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tracer.py")


class Trace:
    """As a context manager. hit: the call at which it struck; calls: how many were counted; log: all of them,
    afterwards, if asked for, and same: for each whether a death there is the same as at the one before."""

    def __init__(self, pids, *options):
        self.words = [sys.executable, "-IS", TRACER, *map(str, options), *map(str, pids)]
        self.hit, self.calls, self.log, self.same, self._rest = None, 0, [], [], b""

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        while not self._take(10):
            assert self.process.poll() is None, "the tracer did not start"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        while self._take(10) is not None:
            pass
        self.process.wait()
        self.process.stdout.close()

    def struck(self, seconds=0):
        """True once the call has come; waits so long for it."""
        if self.hit is None:
            self._take(seconds)
        return self.hit is not None

    def _take(self, seconds):
        """Whether "ready" was among the lines that came; None at the end."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return False
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        *lines, self._rest = (self._rest + data).split(b"\n")
        ready = False
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            if word == "ready":
                ready = True
            elif word == "hit":
                self.hit = rest
            elif word in ("call", "same"):
                self.log.append(rest)
                self.same.append(word == "same")
            elif word == "calls":
                self.calls = int(rest)
        return ready if data else None
