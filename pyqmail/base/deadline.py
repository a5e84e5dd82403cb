"""A bound on the time a blocking call may take, by SIGALRM.

    with Deadline(30):
        fcntl.flock(fd, fcntl.LOCK_EX)      # raises Expired after 30 s

For the main thread only. What SIGALRM meant before, and an alarm that was already running, are
put back at the end, so a process that delivers one message after the other keeps nothing of it.
"""
import _signal                      # see base/sig.py: the `signal` module costs 3 ms at start


class Expired(Exception):
    """The time is over."""


def _expire(*_):
    raise Expired


class Deadline:
    """Expired is raised inside the block `seconds` after its start, whatever call is under way."""

    __slots__ = ("seconds", "_handler", "_alarm")

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self._handler = _signal.signal(_signal.SIGALRM, _expire)
        self._alarm = _signal.alarm(self.seconds)
        return self

    def __exit__(self, *_):
        _signal.alarm(0)
        _signal.signal(_signal.SIGALRM, self._handler)
        if self._alarm:
            _signal.alarm(self._alarm)
