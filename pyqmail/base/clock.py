"""The time, as an object that is handed around: programs get `Clock()`, tests one that they turn by hand.

Clocks are set while we run: by hand, after a dead battery, after a suspend. What is due then, and how old something
is, must not depend on it; see "Clocks that are set" in doc/RELIABILITY.md.
"""
import time

AHEAD = 86_400                      # s; a file whose time is further ahead than this was made under a wrong clock


class Clock:
    """Wall-clock time for what is stored and compared with files, monotonic time for how long something took."""

    @staticmethod
    def now():
        """Whole seconds since 1970, as the times of files are compared."""
        return int(time.time())

    @staticmethod
    def monotonic():
        """Seconds that never go back, from an arbitrary start."""
        return time.monotonic()


class JumpDetector:
    """Tells when the wall clock was set, either way.

    Due times are wall-clock times. When the clock is set back by an hour, whatever is to happen in ten
    minutes would wait for seventy; the one who keeps due times moves them by what jump() gives. When it is set
    forward, nothing waits longer, but everything looks older than it is.
    """
    TOLERANCE = 5                   # s; slewing and rounding are no jumps

    def __init__(self, clock):
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()

    def jump(self):
        """Seconds by which the wall clock was set since the last call, below 0 if it was set back; 0 usually."""
        offset = self._clock.now() - self._clock.monotonic()
        seconds = offset - self._offset
        if abs(seconds) <= self.TOLERANCE:
            return 0
        self._offset = offset
        return int(seconds)


class Unhurried:
    """The wall clock, but never ahead of what has really passed: as if nobody had ever set it forward.

    For who removes what is old. A file made just before the clock was set forward by a day is not a day old, nor is
    one that was made while the clock was behind; who asks now() now and then will not take them for it. In return it
    may find what is really old too young, until it is made anew.
    """

    def __init__(self, clock):
        self._clock, self._offset = clock, clock.now() - clock.monotonic()

    def now(self):
        wall, passed = self._clock.now(), self._clock.monotonic()
        if wall - passed < self._offset - JumpDetector.TOLERANCE:
            self._offset = wall - passed
        return min(wall, int(passed + self._offset) + JumpDetector.TOLERANCE)
