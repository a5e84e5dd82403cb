"""What the copies of one delivery in Maildirs are called, so that a repeat of it finds them (see base/maildir.py).

qmail-lspawn knows which delivery it is (spawn/identity.py) and says so with a number TIME.N: in the order of a warm
process, or in the environment variable VARIABLE of bin/qmail-local. Nobody else does: on a command line there is no
number, every delivery is a new one, and names are the usual ones.

Several Maildir lines are several copies, each called after the same number. A second copy in the same Maildir,
through whatever path, gets its place as well: TIME.NL1, TIME.NL2 …

Not covered are mbox files, commands and forwarded messages: nothing there tells a repeat. Of commands, that
includes vdelivermail where it runs as a program of its own.
"""
import os

from ..base import maildir

VARIABLE = b"QMAILLOCALCOPY"        # "TIME.N", with AGAIN after it where the delivery may be a repeat
AGAIN = b" again"
DIGITS = b"0123456789."


class Copies:
    """number: b"TIME.N", b"" if nobody knows which delivery it is. repeat: True if it may have been made before."""

    __slots__ = ("number", "repeat", "_made")

    def __init__(self, number=b"", repeat=False):
        self.number, self.repeat, self._made = number, repeat, {}

    def next(self, root):
        """The maildir.Copy for the next delivery into the Maildir whose descriptor is `root`; None without a number."""
        if not self.number:
            return None
        about = os.fstat(root)
        place = about.st_dev, about.st_ino
        before = self._made.get(place, 0)
        self._made[place] = before + 1
        return maildir.Copy(maildir.named(b"%bL%d" % (self.number, before) if before else self.number), self.repeat)


def told(value):
    """The Copies that a value of VARIABLE means; b"" and what is no number: an unknown delivery."""
    number = value.removesuffix(AGAIN)
    return Copies() if number.strip(DIGITS) else Copies(number, number != value)


def telling(number, repeat):
    """The value of VARIABLE for a delivery."""
    return number + AGAIN if repeat else number
