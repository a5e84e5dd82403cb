"""Noticing new messages: scans of todo, and what becomes of each entry.

A scan goes on a bounded number of entries a turn, and only so many are under way at once: however
full todo is, deliveries go on. A worker preprocesses all that are there, up to a bound; for each of them the loop
logs what the worker says, qmail-clean removes todo/N, and only its `+` makes the channels due. Messages that qmail-send
died of before (hands.py) come first, each alone.
"""
import collections
import os

from ..base import durable
from ..queue import names, scan, trigger
from . import messages
from .preprocess import prepare, prepare_long, write_out
from .scheduler import RETRY
from .sweep import absent

SCAN_EVERY = 1500                   # s; without the trigger
UNDER_WAY = 64                      # entries at once
TOGETHER = 16                       # entries that get to the disk together
BATCH = 64                          # entries looked at a turn


class Todo:
    """channels: {name: Channel}; their `due` gets new messages. done: Due of messages without recipients.
    injecting: the set of bounces that qmail-queue has not answered yet. hands: Hands. known: Known."""

    def __init__(self, clock, log, pool, cleaner, controls, channels, done, queue, pause, injecting, hands, known):
        self._clock, self._log, self._pool, self._cleaner, self._controls = clock, log, pool, cleaner, controls
        self._channels, self._done, self._queue, self._pause = channels, done, queue, pause
        self._injecting, self._own_uid = injecting, os.getuid()
        self._known, self._hands, self._suspects, self._suspect = known, hands, collections.deque(hands.alone), None
        self._held = []             # (bounces that must be answered first, Preprocessed)
        self._disk = durable.best()
        self._busy = set()          # handed out, or waiting for qmail-clean
        self._stale = frozenset()   # busy when the scan began: their names may still turn up, gone by then
        self._entries = None
        self.next_scan = clock.now()
        self.trigger = trigger.listen()

    @property
    def under_way(self):
        return bool(self._busy)

    @property
    def scanning(self):
        return self._entries is not None

    @property
    def wants_turn(self):
        """True if step() would do something at once."""
        return not self.waiting and (bool(self._suspects) or self.scanning and self._room)

    @property
    def _room(self):
        return len(self._busy) < UNDER_WAY and self._pool.free

    @property
    def waiting(self):
        """True while a suspect is at it: nothing else is begun."""
        return self._suspect in self._busy

    def busy(self, number):
        """True while this message is being preprocessed."""
        return number in self._busy

    def scan_again(self):
        self.next_scan = self._clock.now()

    def clock_set_back(self, seconds):
        self.next_scan -= seconds

    def step(self, pulled):
        """Look at the next entries; begin a scan first if one is due or the trigger was pulled."""
        if self.waiting:
            return
        while self._suspects:
            self._suspect = self._suspects.popleft()
            if self._suspect not in self._hands.aside and not absent(names.flat("todo", self._suspect)):
                self._submit([self._suspect])
                return
        if not self.scanning:
            if pulled and self.trigger is not None:
                self.trigger, pulled = trigger.renew(self.trigger)
            if not (pulled or self._clock.now() >= self.next_scan) or not self._begin():
                return
        if self._room:
            batch = self._next_entries()
            if batch:
                self._submit(batch)

    def _next_entries(self):
        """Numbers that the scan comes upon next."""
        found = []
        for _ in range(BATCH):
            if len(found) >= TOGETHER or len(self._busy) + len(found) >= UNDER_WAY:
                break
            entry = next(self._entries, None)
            if entry is None:
                self._entries.close()
                self._entries = None
                break
            number = scan.number(entry.name)
            if number is not None and not any(number in those for those in
                                              (self._busy, self._stale, self._hands.aside)):
                found.append(number)
        return found

    def _submit(self, batch):
        """Have these preprocessed, the long lists among them each by itself."""
        self._busy.update(batch)
        while batch:
            ready, batch = prepare(batch, self._controls.routing, self._queue, self._during)
            if ready:
                self._work([message.number for message in ready], write_out, ready, self._disk)
            if batch:
                number, *batch = batch
                self._work([number], self._long, number, self._controls.routing)

    def _work(self, numbers, function, *arguments):
        self._pool.submit(lambda done, error: self._preprocessed(numbers, done, error), function, *arguments)

    def _long(self, number, routing):
        return write_out([prepare_long(number, routing, self._queue, self._during)], self._disk)

    def _during(self, number):
        return self._hands.during("todo", number)

    def _begin(self):
        try:
            self._entries = os.scandir(b"todo")
        except OSError:
            self._pause("alert: unable to opendir todo, sleeping...")
            return False
        self._stale = frozenset(self._busy)
        self.next_scan = self._clock.now() + SCAN_EVERY
        return True

    def _preprocessed(self, numbers, done, error):
        if error is not None:       # no memory, a bug
            for number in numbers:
                self._hands.passed("todo", number)
                self._later(number)
                self._log.say(messages.warning("unable to preprocess", names.flat("todo", number), f": {error!r:.300}"))
            return
        for one in done:
            self._hands.passed("todo", one.number)
            if one.uid == self._own_uid and self._injecting:
                # A bounce of ours can turn up in todo before qmail-queue's answer; the log tells of the old
                # message's end first.
                self._held.append((frozenset(self._injecting), one))
            else:
                self._take(one)

    def release(self):
        """Go on with messages that waited for the answers to bounces."""
        held, self._held = self._held, []
        for bounces, result in held:
            if bounces & self._injecting:
                self._held.append((bounces, result))
            else:
                self._take(result)

    def _take(self, result):
        number = result.number
        for line in result.lines:
            self._log.say(line)
        if result.channels is None:
            self._later(number)
            return
        self._cleaner.request("todo", number, lambda answer: self._cleaned(result, answer))

    def _later(self, number):
        """The next scan tries it again; nobody may pull the trigger until then."""
        self._busy.discard(number)
        self.next_scan = min(self.next_scan, self._clock.now() + RETRY)

    def _cleaned(self, result, answer):
        number = result.number
        self._busy.discard(number)
        if answer is None:          # qmail-clean is gone; todo/N may be too, the next start will see
            return
        if answer != b"+":
            self._log.say(messages.warning("qmail-clean unable to clean up", names.flat("todo", number)))
            self._later(number)
            return
        now = self._clock.now()
        self._known.learn(number, result.sender, result.birth)
        for channel in result.channels:
            self._channels[channel].due.add(now, number)
        if not result.channels:
            self._done.add(now, number)
