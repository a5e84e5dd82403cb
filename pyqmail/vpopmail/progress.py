"""How far a long job is, for somebody at a terminal; nothing where standard output is none."""
import os
import time

from ..base import netio

BETWEEN = 0.2                           # s between two looks of the line
WIDTH = 30
BAR, CLEAR = b"#", b"\r\x1b[K"


class Bar:
    """with Bar(total, label) as bar: bar.add(number)    label (bytes) stands before the bar, and alone when it is
    over."""

    def __init__(self, total, label=b"", clock=time.monotonic):
        self._total, self._label, self._clock = max(1, total), label, clock
        self._done, self._shown, self._start = 0, 0, clock()
        self._terminal = os.isatty(1)

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        if self._terminal and self._shown:
            netio.write_all(1, CLEAR + self._label)

    def add(self, number=1):
        self._done += number
        now = self._clock()
        if self._terminal and now - self._shown >= BETWEEN:
            self._shown = now
            netio.write_all(1, CLEAR + self.line(now))

    def line(self, now):
        """The line to show."""
        part = min(1, self._done / self._total)
        left = (now - self._start) * (1 - part) / part if part else 0
        return b"%b[%b] %d/%d %d s left" % (self._label, (BAR * int(WIDTH * part)).ljust(WIDTH, b"."), self._done,
                                            self._total, left)
