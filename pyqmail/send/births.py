"""When a message came, told so that a clock that was set does not change its age.

info's modification time is a message's birth. It is corrected, in the file, when the message has its next attempt:

- The clock was set forward since: the birth moves with it. (Else all mail that happens to be deferred would be too
  old, and bounce, when a machine without a battery learns the time, or wakes up after a week.)
- The birth is more than a day ahead of now: the clock was ahead when the message came. It counts as born now.
  (Else it would not be tried again before the clock gets there.) What is less far ahead waits until then.

Jumps are known for the life of this process only.
"""
import os

from ..base.clock import AHEAD
from ..queue import names


REMEMBERED = 100                    # jumps; messages from before the oldest have had their attempt


class Births:
    def __init__(self, clock):
        self._clock = clock
        self._jumps = []            # [time before the jump, seconds], forward, oldest first

    def jumped(self, seconds):
        """The clock was set. Setting it back takes back the last jumps forward."""
        while seconds < 0 and self._jumps:
            last = self._jumps[-1]
            taken = min(-seconds, last[1])
            last[1] -= taken
            seconds += taken
            if not last[1]:
                self._jumps.pop()
        if seconds > 0:
            self._jumps.append([self._clock.now() - seconds, seconds])
            del self._jumps[:-REMEMBERED]

    def corrected(self, number, birth):
        """The birth of message `number`, whose info file says `birth`."""
        right, now = birth, self._clock.now()
        for before, seconds in self._jumps:
            if right <= before:
                right += seconds
        if right > now + AHEAD:
            right = now
        if right != birth:
            try:
                os.utime(names.split("info", number), (right, right))
            except OSError:
                pass                # the file says the same next time
        return right
