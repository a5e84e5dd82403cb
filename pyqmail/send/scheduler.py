"""When a message is tried next, and what is due.

    next attempt = birth + (isqrt(age) + skip)²         skip 10 on the local channel, 20 on the remote one

so that a message that cannot be delivered is tried ever less often, and a queue of old messages is
spread by itself. Source: qmail's INTERNALS; the table in tests/send.
"""
import heapq
import math

SKIP = {"local": 10, "remote": 20}
RETRY = 123                         # s until what failed for reasons of the system is tried again
LONGEST = 86_400                    # s; at least, between two attempts that are still made


def next_attempt(birth, now, channel):
    """The time (seconds since 1970) of the attempt after one at `now`."""
    return birth + (math.isqrt(max(0, now - birth)) + SKIP[channel]) ** 2


def latest(now, lifetime):
    """The time that an attempt can be due at the latest. What is due later than that was noted by a clock ahead of
    this one."""
    return now + max(LONGEST, (math.isqrt(lifetime) + 1 + max(SKIP.values())) ** 2 - lifetime)


class Due:
    """Messages by the time at which they are due, earliest first; of equals, the one added first.

    Takes some hundred bytes a message. No message may be in it twice at a time.
    """

    def __init__(self):
        self._heap, self._added = [], 0         # (due, order of adding, number)

    def __len__(self):
        return len(self._heap)

    def add(self, due, number):
        self._added += 1
        heapq.heappush(self._heap, (due, self._added, number))

    def first(self):
        """The earliest due time; None when empty."""
        return self._heap[0][0] if self._heap else None

    def take(self, now):
        """Removes and gives the first message due at `now`; None if none is."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)[2]
        return None

    def all_due(self, now):
        """Everything becomes due at `now`; the order stays."""
        self._heap = [(now, order, number) for order, (_, _, number) in enumerate(sorted(self._heap))]
        self._added = len(self._heap)

    def hasten(self, numbers, now):
        """These messages, as far as they are here, become due at `now`."""
        self._heap = [(min(due, now) if number in numbers else due, order, number) for due, order, number in self._heap]
        heapq.heapify(self._heap)

    def move(self, seconds, now, latest):
        """Everything becomes due `seconds` earlier: the clock was set back by so much, to `now`. What would be due
        after `latest` is due now: the attempt before it was made under a clock that was far ahead."""
        self._heap = [(due - seconds if due - seconds <= latest else now, order, number)
                      for due, order, number in self._heap]
        heapq.heapify(self._heap)

    def drain(self):
        """Yields (due, number), earliest first, and leaves nothing."""
        while self._heap:
            due, _, number = heapq.heappop(self._heap)
            yield due, number
