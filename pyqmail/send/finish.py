"""The end of a message: its bounce is sent, then info goes, then qmail-clean removes the message itself.

Workers hand bounces to qmail-queue; everything else is quick and done at once.
What must stay true: bounce/N is removed only after qmail-queue accepted its contents, info only after
bounce, mess only after info. A crash in between repeats a step (a bounce may be sent twice); it loses nothing.
"""
import collections
import errno
import os

from ..base import child
from ..queue import names
from ..queue.client import Submission
from . import messages, sweep
from .bounce import Bounce
from .scheduler import RETRY

BOUNCES = 8                         # sent at once
# Starting a program failed for want of something that others may give back.
NO_PROCESS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class Finisher:
    """done: Due of the messages that have no channel file, as far as anybody knows. hands: Hands. known: Known."""

    def __init__(self, clock, log, pool, cleaner, controls, done, queue, hands, known):
        self._clock, self._log, self._pool, self._cleaner = clock, log, pool, cleaner
        self._controls, self._done, self._queue, self._hands, self._known = (
            controls, done, queue, hands, known)
        self._waiting = collections.deque()     # numbers that have a bounce and wait for their turn
        self.injecting = set()      # bounces that qmail-queue has not answered yet

    @property
    def ready(self):
        """True if step() would go on at once with a bounce that waited for its turn."""
        return bool(self._waiting) and self._pool.active < BOUNCES and not self._cleaner.crowded

    def busy(self, number):
        """True while this message's bounce is being sent."""
        return any(bounce.number == number for bounce in self.injecting)

    def step(self):
        """Finish one message that is due. True if there was one."""
        if self._cleaner.crowded:
            return False
        if self.ready:
            self._finish(self._waiting.popleft())
            return True
        number = self._done.take(self._clock.now())
        if number is None:
            return False
        self._finish(number)
        return True

    def _finish(self, number):
        self._hands.loop(number)
        if number in self._hands.aside:
            self._known.forget(number)
            self._hands.leave(number, lambda number: self._done.add(self._clock.now(), number))
            return
        try:
            if self._finished_already(number):
                return
            bounce = names.flat("bounce", number)
            info = self._known.info(number)
            if info is None:
                self._later(number)
            elif not exists(bounce):
                self._end(number)
            elif self._pool.active >= BOUNCES:
                self._waiting.append(number)
            else:
                self._bounce(Bounce(number, info[0], self._controls))
        except Unexaminable as why:
            rest = "" if str(why).startswith("bounce/") else messages.LATER
            self._log.say(messages.warning("unable to stat", str(why), rest))
            self._later(number)
        except Exception as why:        # a bug, no memory: the message must not be forgotten
            self._log.say(messages.warning("unable to finish", f"msg {number}", f": {why!r:.300}{messages.LATER}"))
            self._later(number)

    @staticmethod
    def _finished_already(number):
        """True if there is nothing to finish: a channel file or todo is there, or info is not."""
        return (exists(names.split("local", number)) or exists(names.split("remote", number))
                or exists(names.flat("todo", number)) or not exists(names.split("info", number)))

    def _later(self, number):
        self._known.forget(number)
        self._done.add(self._clock.now() + RETRY, number)

    # ------------------------------------------------------------ the bounce

    def _bounce(self, bounce):
        if bounce.sender is None or bounce.recipient is None:
            word = "triple bounce" if bounce.kind == "triple" else "double bounce"
            self._log.say(f"{word}: discarding {names.flat('bounce', bounce.number)}".encode())
            self._bounced(bounce.number)
            return
        try:
            submission = Submission(start=child.spawn)
        except OSError as why:
            self._log.say(messages.warning("unable to start qmail-queue, will try later") if why.errno in NO_PROCESS
                          else NOT_INJECTED)
            self._later(bounce.number)
            return
        self.injecting.add(bounce)
        self._pool.submit(lambda result, error: self._injected(bounce, result, error),
                          self._inject, bounce, submission, self._clock.now())

    def _inject(self, bounce, submission, now):
        with self._hands.during("bounce", bounce.number):
            return bounce.inject(submission, now, self._queue)

    def _injected(self, bounce, result, error):
        self.injecting.discard(bounce)
        self._hands.passed("bounce", bounce.number)
        number, (answer, qp) = bounce.number, result or (b"Z", 0)
        if error is not None or answer:
            self._log.say(NOT_INJECTED)
            self._later(number)
            return
        self._log.say(messages.bounced(number, qp))
        self._bounced(number)

    def _bounced(self, number):
        path = names.flat("bounce", number)
        try:
            os.unlink(path)
        except OSError:
            self._log.say(messages.warning("unable to unlink", path))
            self._later(number)
            return
        self._end(number)

    def _end(self, number):
        self._hands.passed("loop", number)
        self._log.say(messages.ended(number))
        path = names.split("info", number)
        try:
            os.unlink(path)
        except OSError:
            self._log.say(messages.warning("unable to unlink", path, messages.LATER))
            self._later(number)
            return
        self._hands.ended(number)
        self._known.forget(number)
        self._cleaner.request("foop", number, lambda answer: sweep.complain(self._log, number, answer))


NOT_INJECTED = messages.warning("trouble injecting bounce message, will try later")


class Unexaminable(Exception):
    """A file cannot be looked at, for another reason than that it is not there; its text is the path."""


def exists(path):
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        raise Unexaminable(path) from None
    return True
