"""Passes over channel files, and what reports do.

A pass opens the channel file that has been due longest and starts a delivery for every recipient not
done yet. A recipient that succeeded or failed for good is marked `D`; when nothing is left, the
file goes; when both files are gone, the message is finished. A pass over a long list gives way to what else is due:
they take turns.

What must stay true: the failure text of a recipient is on the disk before the recipient is marked, so
a crash repeats a delivery rather than lose a bounce.
"""
import os

from ..queue import envelope, marks, names
from ..spawn import wire
from . import bounce, messages
from .births import Births
from .channel import Delivery, Job, Reading
from .scheduler import RETRY, next_attempt

TURN = 100                          # deliveries
PARKED_MAX = 16                     # passes of a channel that wait for their turn
DONE_A_STEP = 1000                  # records of finished recipients skipped at a time
TOO_OLD = b"I'm not going to try again; this message has been in the queue too long.\n"
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Deliveries:
    """channels: {"local": Channel, "remote": Channel}. done: Due, gets messages without channel files.
    pool: for syncing failure texts. ending(): True once qmail-send is asked to end. hands: Hands. known: Known."""

    def __init__(self, clock, log, controls, channels, done, pool, ending, pause, hands, known):
        self._clock, self._log, self._controls, self._channels = clock, log, controls, channels
        self._done, self._pool, self._ending, self._pause = done, pool, ending, pause
        self._known, self._hands, self.births = known, hands, Births(clock)
        self._passes = set()        # (channel, message number) of those under way
        self._most_passes = sum(channel.limit for channel in channels.values())
        self._serial = 0

    def status(self):
        self._log.say(messages.status([channel.counts for channel in self._channels.values()], self._ending()))

    @property
    def room(self):
        """True if another pass can be opened."""
        return len(self._passes) < self._most_passes

    def busy(self, number):
        """True while something of this message is being delivered, or what came of it is being noted."""
        return any((channel, number) in self._passes for channel in self._channels)

    def wants_turn(self, channel):
        """True if step(channel) would go on with a pass at once."""
        return (channel.reading is not None or bool(channel.parked)) and channel.available

    # ------------------------------------------------------------ passes

    def step(self, channel):
        """Open the next pass or go on by one recipient. True if that was anything."""
        if channel.reading is None and not self._next_pass(channel):
            return False
        if channel.reading is None:
            return True
        return channel.available and self._next_record(channel)

    def _next_pass(self, channel):
        """Open the next pass, or go on with one that gave way. What is due and the long lists have turns of TURN
        deliveries."""
        if not channel.parked:
            channel.turn = 0
            return self._open(channel)
        if channel.turn < TURN and len(channel.parked) < PARKED_MAX and self._open(channel):
            return True
        channel.reading, channel.turn = channel.parked.popleft(), 0
        return True

    @staticmethod
    def _give_way(channel):
        """The turn is over in the middle of a pass."""
        reading, channel.reading = channel.reading, None
        if reading.long:
            channel.turn = 0        # what is due is next
        reading.long = True
        channel.parked.append(reading)

    def _open(self, channel):
        """Begin a pass over the file due first. False if there is none, or no room; True also for trouble."""
        now = self._clock.now()
        if not self.room or (number := channel.due.take(now)) is None:
            return False
        self._hands.loop(number)
        if number in self._hands.aside:
            self._known.forget(number)
            self._hands.leave(number, lambda number: channel.due.add(self._clock.now(), number))
            return True
        path = names.split(channel.name, number)
        try:
            fd = os.open(path, READ)
        except OSError:
            self._defer(channel, number, now, path)
            return True
        info = self._known.info(number)
        if info is None:
            os.close(fd)
            self._defer(channel, number, now, names.split("info", number))
            return True
        sender, birth = info[0], self.births.corrected(number, info[1])
        job = Job(number, sender, next_attempt(birth, now, channel.name), now > birth + self._controls.lifetime)
        channel.reading = Reading(job, fd, envelope.records(fd))
        self._passes.add((channel.name, number))
        return True

    def _defer(self, channel, number, now, path):
        self._log.say(messages.warning("trouble opening", path, messages.LATER))
        channel.due.add(now + RETRY, number)

    def _next_record(self, channel):
        reading = channel.reading
        job = reading.job
        self._hands.loop(job.number)
        if job.number in self._hands.aside:         # held meanwhile: the rest has time
            self._end_pass(channel)
            return True
        for _ in range(DONE_A_STEP):
            try:
                offset, record = next(reading.records, (0, None))
            except OSError:
                self._end_pass(channel, "trouble reading", messages.LATER)
                return True
            if record is None:
                job.complete = True
                self._end_pass(channel)
                return True
            letter = record[:1]
            if letter == b"T":
                self._start(channel, job, offset, record[1:])
                channel.turn += 1
                if channel.turn >= TURN:
                    self._give_way(channel)
                return True
            if letter != b"D":
                self._end_pass(channel, "unknown record type in", "!")
                return True
        return True

    def _end_pass(self, channel, trouble=None, rest=""):
        reading, channel.reading = channel.reading, None
        if trouble:
            self._log.say(messages.warning(trouble, names.split(channel.name, reading.job.number), rest))
        os.close(reading.fd)
        self._close(channel, reading.job)

    def _start(self, channel, job, offset, recipient):
        job.left += 1
        job.references += 1
        self._serial += 1
        channel.start(Delivery(job, self._serial, offset, recipient))
        self._log.say(messages.starting(self._serial, job.number, channel.name.encode(), recipient))
        self.status()

    # ------------------------------------------------------------ reports

    def reports(self, channel):
        """Take the reports that have come. False when the spawner is gone."""
        found = channel.read()
        if found is None:
            return False
        for number, text in found:
            self._report(channel, number, text)
        return True

    def _report(self, channel, number, text):
        delivery = channel.running(number)
        if delivery is None:
            self._log.say(messages.warning("internal error: delivery report out of range"))
            return
        job, letter, text = delivery.job, text[:1], text[1:]
        self._hands.loop(job.number)
        if letter == b"Z" and job.final:
            if len(text) + 1 >= wire.REPORT_MAX:        # cut: qmail's count is one byte off then
                text = text[:-1]
            letter, text = b"D", text + TOO_OLD
        if letter == b"K":
            self._log.say(messages.outcome(delivery.serial, b"success", text))
            self._succeeded(channel, delivery)
        elif letter == b"D":
            self._log.say(messages.outcome(delivery.serial, b"failure", text))
            self._fail(channel, delivery, text)
        else:
            self._log.say(messages.outcome(delivery.serial, b"deferral", text) if letter == b"Z"
                          else messages.mangled(delivery.serial))
            self._close(channel, job)
        channel.release(number)
        self.status()

    def _succeeded(self, channel, delivery):
        """Note it. The last recipient of a file needs no mark if the file goes now."""
        job = delivery.job
        if job.complete and job.left == job.references == 1:
            self._close(channel, job, delivery)
        else:
            self._mark(channel, delivery)
            self._close(channel, job)

    def _mark(self, channel, delivery):
        number = delivery.job.number
        try:
            marks.done(channel.name, number, delivery.offset)
        except OSError:
            self._log.say(messages.warning("trouble marking", names.split(channel.name, number),
                                           "; message will be delivered twice!"))
        delivery.job.left -= 1

    def _fail(self, channel, delivery, report):
        """Store the failure text; a worker syncs it, then the recipient is marked."""
        text = bounce.paragraph(self._controls.routing.without_prefix(delivery.recipient), report)
        fd = self._store(names.flat("bounce", delivery.job.number), text)
        self._pool.submit(lambda _, error: self._stored(channel, delivery, error), sync_and_close, fd)

    def _store(self, path, text):
        """Append to bounce/N; returns its descriptor. Goes on trying: the text must not be lost."""
        fd = -1
        while True:
            try:
                if fd < 0:
                    fd = os.open(path, APPEND, 0o600)
                while text:
                    text = text[os.write(fd, text):]
                return fd
            except OSError:
                self._pause("alert: unable to append to bounce message; HELP! sleeping...")

    def _stored(self, channel, delivery, error):
        if error is None:
            self._mark(channel, delivery)
        else:                       # perhaps not on the disk: the recipient stays to do
            self._log.say(messages.warning("trouble fsyncing", names.flat("bounce", delivery.job.number)))
        self._close(channel, delivery.job)

    def _close(self, channel, job, last=None):
        """One reference less; at the last one the file is finished or waits for its next time. last: the Delivery
        that was the last one to do, if it is not marked."""
        job.references -= 1
        if job.references:
            return
        self._passes.discard((channel.name, job.number))
        self._hands.passed(channel.name, job.number)
        self._hands.passed("loop", job.number)
        due = job.retry
        if job.complete and job.left == (last is not None):
            path = names.split(channel.name, job.number)
            try:
                os.unlink(path)
            except OSError:
                if last is not None:
                    self._mark(channel, last)
                self._log.say(messages.warning("unable to unlink", path, messages.LATER))
                due = self._clock.now() + RETRY
            else:
                if not self._other_is_there(channel, job.number):
                    self._done.add(self._clock.now(), job.number)
                return
        self._known.forget(job.number)
        channel.due.add(due, job.number)

    def _other_is_there(self, channel, number):
        """True if the message still has a file on another channel; one that cannot be examined counts as
        absent here, finishing will look again."""
        for other in self._channels:
            path = names.split(other, number)
            if other == channel.name:
                continue
            try:
                os.stat(path)
                return True
            except FileNotFoundError:
                pass
            except OSError:
                self._log.say(messages.warning("unable to stat", path))
        return False


def sync_and_close(fd):
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
