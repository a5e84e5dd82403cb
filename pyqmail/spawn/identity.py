"""Which delivery an order is for: what lets a repeat of it find the copy that it has put into a Maildir already.

An order is repeated when nobody has noted its success: qmail-send, qmail-lspawn or the delivering process died, or
the power failed. The order itself does not say so, and it says nothing about the place of its recipient in the
message; its bytes are qmail's. So this is found out here:

- **number**, b"TIME.N": the same for every attempt at one recipient of one message, and for nothing else. It is
  made of the inode number of mess/S/N and the time of its last change to the nanosecond (a message is not written to
  once it is queued), the recipient, and its place among *equal* recipients of the message: in qmail those are
  deliveries of their own. An inode number is used again when the message is gone; the time is then another one. Should
  a clock that is set back bring the same pair again, the contents differ, and the Maildir tells (base/maildir.py).
- **repeat**: whether there may have been an attempt. No clock is asked, for clocks are set back: the messages that
  were there when this process started, and those with an attempt in its life that did not end in success. All
  others are on their first attempt. The answer may be yes without need, never no: it costs the repeat a look at the
  names in the Maildir.

Equal recipients are seen in local/S/N, which qmail-send has written: it is read when a message has its first
order. Which of them an order means is seen by their marks and by what is under way. If that cannot be
told, there is no number, and the delivery is one that is not recognized again.

**Security**: qmail-lspawn, so root. Of local/S/N only the ends of records and equality of recipients matter here; a
file that is not regular, or larger than LARGEST, is not read.
"""
import os
import stat
from collections import Counter, OrderedDict

from _blake2 import blake2b         # hashlib has the same, and OpenSSL with it: 0.6 MB in root's process

from ..base import home

TRIED_MAX = 200_000                 # messages; with more of them every order counts as a repeat
TWINS_MAX = 100                     # equal recipients of one message that are told apart
KEPT = 256                          # messages with several recipients whose equal ones are remembered
LARGEST = 1 << 26                   # bytes of a local/S/N
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
UNKNOWN = None


class Identity:
    """One delivery. number, repeat: see above; the rest is for Identities.ended()."""

    __slots__ = ("number", "repeat", "message", "mtime", "twin")

    def __init__(self, number, repeat, message, mtime, twin):
        self.number, self.repeat, self.message, self.mtime, self.twin = number, repeat, message, mtime, twin


class Identities:
    """of(order, descriptor) for each order, ended(identity, letter) after it. The working directory is queue/mess."""

    def __init__(self):
        self._tried, self._all_tried = {}, False    # number of a message -> its time, if it is known
        self._recipients = OrderedDict()            # the same -> Recipients, the least recently asked for first
        try:
            self._tried = dict.fromkeys(map(int, queued()), UNKNOWN)
        except OSError:
            self._all_tried = True

    def of(self, order, descriptor):
        """The Identity of the delivery that an order (wire.Order) is for. descriptor: of its message. Raises OSError."""
        about = os.fstat(descriptor)
        message, mtime = int(order.messid.rpartition(b"/")[2]), about.st_mtime_ns
        repeat = self._tried_before(message, mtime)
        twin = self._of_message(message, mtime, order.messid).begin(order.recipient)
        number = b"" if twin is UNTOLD else number_of(about.st_ino, mtime, order.recipient, twin.place if twin else 0)
        return Identity(number, repeat, message, mtime, twin)

    def ended(self, identity, letter):
        """The delivery has been reported with this letter: b"K", b"D", or any other, and it will be ordered again."""
        if identity.twin:
            identity.twin.running, identity.twin.done = False, letter in (b"K", b"D")
        if letter != b"K":
            if len(self._tried) >= TRIED_MAX:
                self._all_tried = True
            else:
                self._tried[identity.message] = identity.mtime

    def _tried_before(self, message, mtime):
        if self._all_tried:
            return True
        if message not in self._tried:
            return False
        known = self._tried[message]
        if known is UNKNOWN:
            self._tried[message] = mtime
        elif known != mtime:            # the number belongs to another message by now
            del self._tried[message]
            return False
        return True

    def _of_message(self, message, mtime, messid):
        found = self._recipients.pop(message, None)
        if found is None or found.mtime != mtime:
            found = Recipients(b"../local/" + messid, mtime)
        if found.several:
            if len(self._recipients) >= KEPT:
                self._forget_one()
            self._recipients[message] = found
        return found

    def _forget_one(self):
        for message, recipients in self._recipients.items():
            if not recipients.busy:
                del self._recipients[message]
                return


class Twin:
    """One of several equal recipients. place: among them; offset: of its record in local/S/N; done: reported as
    delivered or failed, in this process's life."""

    __slots__ = ("place", "offset", "running", "done")

    def __init__(self, place, offset):
        self.place, self.offset, self.running, self.done = place, offset, False, False


UNTOLD = Twin(0, 0)                     # it cannot be told which one is meant


class Recipients:
    """The equal recipients of a message, from its local/S/N at `path`. mtime: of the message. several: True if it has
    more than one recipient."""

    __slots__ = ("mtime", "several", "_path", "_twins")

    def __init__(self, path, mtime):
        self.mtime, self._path = mtime, path
        data = contents(path)
        self.several = data is not None and data.count(b"\0") > 1
        self._twins = None if data is None else twins(data) if self.several else {}

    @property
    def busy(self):
        """True while a delivery to one of equal recipients is under way."""
        return any(twin.running for equal in (self._twins or {}).values() for twin in equal)

    def begin(self, recipient):
        """The Twin that an order for this recipient means, None if there is no other one like that; UNTOLD.

        qmail-send goes through the records in order and passes over those that are marked. A record that was reported
        as done may still be waiting for its mark; if no other is left, that mark has failed and it is done again.
        """
        if self._twins is None:
            return UNTOLD
        equal = self._twins.get(recipient)
        if equal is None:
            return None
        to_do = [twin for twin in self._not_marked(equal) if not twin.running] if len(equal) <= TWINS_MAX else []
        found = next((twin for twin in to_do if not twin.done), to_do[0] if to_do else UNTOLD)
        if found is not UNTOLD:
            found.running = True
        return found

    def _not_marked(self, equal):
        try:
            fd = os.open(self._path, READ)
        except OSError:
            return []
        try:
            return [twin for twin in equal if os.pread(fd, 1, twin.offset) == b"T"]
        finally:
            os.close(fd)


def number_of(inode, mtime, recipient, place):
    """b"TIME.N" with N in digits: nanosecond, 64 bits of recipient, place and QMAILHOME, inode."""
    seconds, nanoseconds = divmod(mtime, 1_000_000_000)
    text = b"%d\0%b\0%b" % (place, os.fsencode(home.HOME), recipient)
    return b"%d.%09d%020d%d" % (seconds, nanoseconds, int.from_bytes(blake2b(text, digest_size=8).digest(), "big"), inode)


def queued():
    """The names of the messages there are, from the subdirectories of the working directory."""
    for split in filter(str.isdecimal, os.listdir(".")):
        yield from filter(str.isdecimal, os.listdir(split))


def contents(path):
    """The bytes of local/S/N; b"" if there is none, None if it must not or cannot be read."""
    try:
        fd = os.open(path, READ)
    except FileNotFoundError:
        return b""
    except OSError:
        return None
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
            return None
        data = os.read(fd, about.st_size)           # complete when it is opened for a delivery: only marks change
        return data if len(data) == about.st_size else None
    except OSError:
        return None
    finally:
        os.close(fd)


def twins(data):
    """{recipient: [Twin, …]} of those that a local/S/N has more than once, by their places in it."""
    records = data.split(b"\0")[:-1]
    equal = {recipient for recipient, times in Counter(record[1:] for record in records).items() if times > 1}
    found, offset = {}, 0
    for record in records:
        if equal and record[1:] in equal:
            places = found.setdefault(record[1:], [])
            places.append(Twin(len(places), offset))
        offset += len(record) + 1
    return found
