"""Orphans in mess: files that some qmail-queue left when it was killed. Looked for at the start and once a day.

An orphan is a mess file that nobody read for 36 hours and that has neither info nor todo. qmail-queue
gives up after 24 hours, so none is being written any more; hours that have passed, not hours by which the clock was
set.
"""
import os

from ..base.clock import Unhurried
from ..queue import names, scan
from . import messages

SWEEP_EVERY = 76_431                # s after the end of the last sweep
BATCH = 100                         # files looked at a turn


class Sweep:
    def __init__(self, clock, log, cleaner, pause):
        self._clock, self._log, self._cleaner, self._pause = clock, log, cleaner, pause
        self._entries, self._age = None, Unhurried(clock)
        self.next_sweep = clock.now()

    @property
    def sweeping(self):
        return self._entries is not None

    def clock_set_back(self, seconds):
        self.next_sweep -= seconds

    def step(self):
        now = self._age.now()       # each turn: it must see where the clock has been
        if not self.sweeping:
            if self._clock.now() < self.next_sweep:
                return
            self._entries = scan.SplitScan("mess")
        for _ in range(BATCH):
            if self._cleaner.crowded:
                return
            try:
                place = next(self._entries)
            except StopIteration:
                self._entries = None
                self.next_sweep = self._clock.now() + SWEEP_EVERY
                return
            except OSError:
                self._pause(f"alert: unable to opendir {self._entries.where}, sleeping...")
                return
            number = scan.in_place(*place)
            if number is not None and self._orphan(number, now):
                self._cleaner.request("foop", number, lambda answer, number=number: self._cleaned(number, answer))

    def _orphan(self, number, now):
        if self._cleaner.removing(number):
            return False
        try:
            read = os.stat(names.split("mess", number)).st_atime_ns // 1_000_000_000
        except OSError:
            return False            # its qmail-queue took it back
        return (now > read + names.OSSIFIED
                and absent(names.split("info", number)) and absent(names.flat("todo", number)))

    def _cleaned(self, number, answer):
        complain(self._log, number, answer)


def absent(path):
    """True only if there surely is no such file."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def complain(log, number, answer):
    """A foop that qmail-clean could not carry out is a warning; the sweep will find the file."""
    if answer is not None and answer != b"+":
        log.say(messages.warning("qmail-clean unable to clean up", names.flat("foop", number)))
