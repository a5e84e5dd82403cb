"""The pipe to qmail-clean, which alone may remove files of mess, intd and todo.

Requests and answers are qmail's; but requests do not wait for the answers of earlier ones, which come
in the same order. Never more are on their way than fit into the smallest pipe, so that neither side
can block the other.
"""
import collections
import os

from ..base import netio

ON_THE_WAY = 100                    # of 26 bytes at most: below PIPE_BUF
BACKLOG = 100                       # requests kept back; beyond it callers should wait (`crowded`)


class Cleaner:
    """request(…, answered) has `answered(answer)` called with the byte qmail-clean answered, or with
    None if it died before. lost(): qmail-clean went away."""

    def __init__(self, lost, requests=5, answers=6):
        self._lost, self._requests, self.answers = lost, requests, answers
        self._waiting, self._sent = collections.deque(), collections.deque()
        self._removing = set()      # messages whose foop is not answered yet
        self.alive = True

    @property
    def outstanding(self):
        return bool(self._sent or self._waiting)

    @property
    def crowded(self):
        return len(self._waiting) >= BACKLOG

    def removing(self, number):
        """True while mess/N is being removed: asking twice could hit the next message of that number."""
        return number in self._removing

    def request(self, kind, number, answered):
        """kind: "todo" removes intd/N and todo/N, "foop" intd/N and mess/S/N.

        Written at once if it may be: were we killed before, a finished message's file would lie around
        until the sweep finds it.
        """
        if kind == "foop":
            self._removing.add(number)
        self._waiting.append((kind, number, answered))
        self.send()

    def send(self):
        """Write what may be on its way."""
        requests = []
        while self.alive and self._waiting and len(self._sent) < ON_THE_WAY:
            kind, number, answered = self._waiting.popleft()
            self._sent.append((kind, number, answered))
            requests.append(b"%b/%d\0" % (kind.encode(), number))
        if requests:
            try:
                netio.write_all(self._requests, b"".join(requests))
            except OSError:
                self._die()
        elif self._waiting and not self.alive:
            self._give_up()

    def receive(self):
        """Read answers; to be called when they are there (or the pipe has ended)."""
        try:
            answers = os.read(self.answers, 4096)
        except InterruptedError:
            return
        except OSError:
            answers = b""
        if not answers:
            self._die()
            return
        for byte in answers:
            if not self._sent:
                return              # an answer to nothing
            self._take(self._sent.popleft(), bytes((byte,)))

    def _die(self):
        if self.alive:
            self.alive = False
            self._lost()
        self._give_up()

    def _give_up(self):
        for requests in (self._sent, self._waiting):
            while requests:
                self._take(requests.popleft(), None)

    def _take(self, request, answer):
        kind, number, answered = request
        if kind == "foop":
            self._removing.discard(number)
        answered(answer)
