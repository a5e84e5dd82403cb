"""Entering messages that are in the queue already: at the start, and again when one could not be examined."""
import os

from ..queue import names, scan
from . import messages
from .finish import Unexaminable, exists
from .scheduler import RETRY, Due, latest


class Entry:
    """channels: {name: Channel}. done, failed: Due; failed gets what could not be examined, and
    messages that somebody died of, to be entered one after the other. hands: Hands. lifetime: s, of messages."""

    def __init__(self, clock, log, channels, done, pause, hands, lifetime):
        self._clock, self._log, self._channels, self._done, self._pause = clock, log, channels, done, pause
        self._hands, self._lifetime = hands, lifetime
        self.failed = Due()

    def everything(self):
        """Enter every message that has an info file in its place."""
        entries, later = scan.SplitScan("info"), self._hands.later()
        while True:
            try:
                for place in entries:
                    number = scan.in_place(*place)
                    if number in later:
                        self.failed.add(self._clock.now() + later[number], number)
                    elif number is not None:
                        self.enter(number)
                return
            except OSError:
                self._pause(f"alert: unable to opendir {entries.where}, sleeping...")

    def enter(self, number):
        """Due times are the modification times of the channel files. A message with a todo file is left to
        preprocessing: its info, local and remote mean nothing yet. One that is set aside waits for its release."""
        if number in self._hands.aside:
            self._hands.leave(number, self.enter)
            return
        try:
            if not exists(names.split("info", number)) or exists(names.flat("todo", number)):
                return
            times = {name: self._time(names.split(name, number)) for name in self._channels}
        except Unexaminable as why:
            self._log.say(messages.warning("unable to stat", str(why), messages.LATER))
            self.failed.add(self._clock.now() + RETRY, number)
            return
        now = self._clock.now()
        for name, due in times.items():
            if due is not None:
                self._channels[name].due.add(due if due <= latest(now, self._lifetime) else now, number)
        if not any(due is not None for due in times.values()):
            self._done.add(now, number)

    @staticmethod
    def _time(path):
        try:
            return os.stat(path).st_mtime_ns // 1_000_000_000
        except FileNotFoundError:
            return None
        except OSError:
            raise Unexaminable(path) from None

    def step(self):
        """Try one again that could not be examined. True if there was one due."""
        number = self.failed.take(self._clock.now())
        if number is None:
            return False
        self.enter(number)
        return True

    def store_times(self):
        """At the end: the next attempts become the modification times again."""
        for name, channel in self._channels.items():
            for due, number in channel.due.drain():
                path = names.split(name, number)
                try:
                    os.utime(path, (due, due))
                except (OSError, OverflowError):
                    self._log.say(messages.warning("unable to utime", path, "; message will be retried too soon"))
