"""The time, as an object that is handed around: programs get `Clock()`, tests one that they turn by hand."""
import time


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
    """Tells when the wall clock was set back.

    Due times are wall-clock times. When the clock is set back by an hour, whatever is to happen in ten
    minutes would wait for seventy; the one who keeps due times moves them by what `backwards` gives. A
    clock set forward needs nothing: what is due then, is due (and so it is after a suspend).
    """
    TOLERANCE = 5                   # s; slewing and rounding are no jumps

    def __init__(self, clock):
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()

    def backwards(self):
        """Seconds by which the wall clock was set back since the last call; 0 usually."""
        offset = self._clock.now() - self._clock.monotonic()
        back = self._offset - offset
        if back > self.TOLERANCE:
            self._offset = offset
            return int(back)
        self._offset = max(self._offset, offset)
        return 0
