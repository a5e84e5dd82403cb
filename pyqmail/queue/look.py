"""Messages of the queue as people ask for them: what is there, and which of them somebody means.

Names are relative to queue/. For whoever may read it: qmails, root. A message that ends while it is looked at is as
one that was never there.
"""
import os
import time
from collections import namedtuple

from . import envelope, names, scan, suspects

TODO, QUEUED = "not preprocessed yet", "queued"
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
CHANNELS = ("local", "remote")

Message = namedtuple("Message", "number mark stage sender birth size left recipients bouncing")
Message.__doc__ = """stage: TODO or QUEUED. mark: see suspects.mark(). sender: bytes, None if it cannot be told. birth:
seconds since 1970. size: bytes of mess/S/N. left, recipients: how many are to do, and how many there were. bouncing:
some failed."""

Filter = namedtuple("Filter", "numbers sender recipient older", defaults=(None,) * 4)
Filter.__doc__ = """What somebody means: a message must match all that is not None. numbers: a set. sender, recipient:
patterns (bytes) with * ? [], of any case; one recipient is enough, one that is done, too. older: seconds in the queue."""


def find(wanted, now=None):
    """Yields the Messages that match the Filter; in the order of their directories."""
    for number in sorted(wanted.numbers) if wanted.numbers is not None else all_numbers():
        found = message(number, wanted.recipient)
        if found is not None and matches(found, wanted, time.time() if now is None else now):
            yield found


def matches(found, wanted, now):
    """The recipient is not looked at: message() did."""
    return ((wanted.sender is None or found.sender is not None and like(found.sender, wanted.sender))
            and (wanted.older is None or now - found.birth >= wanted.older))


def like(address, pattern):
    import fnmatch                  # 1 MB: the supervisor, which is qmailctl, has this module
    return fnmatch.fnmatchcase(address.lower(), pattern.lower())


def all_numbers():
    """Every message that is queued; one that is being preprocessed may come twice."""
    for name in os.listdir(b"todo"):
        if (number := scan.number(name)) is not None:
            yield number
    for place in scan.SplitScan("info"):
        if (number := scan.in_place(*place)) is not None and not os.path.exists(names.flat("todo", number)):
            yield number


def message(number, recipient=None):
    """The Message of a number; None if there is none, or none with a recipient like the pattern `recipient`."""
    try:
        mess = os.stat(names.split("mess", number))
        sender, birth, left, count, matched, stage = read_todo(number, recipient) or read_queued(number, recipient)
    except FileNotFoundError:
        return None
    if recipient is not None and not matched:
        return None
    return Message(number, mess.st_mtime_ns, stage, sender, birth, mess.st_size, left, count,
                   stage == QUEUED and os.path.exists(names.flat("bounce", number)))


def read_todo(number, pattern):
    """None if it is not in todo."""
    try:
        fd = os.open(names.flat("todo", number), READ)
    except FileNotFoundError:
        return None
    sender, count, matched = None, 0, False
    try:
        birth = int(os.fstat(fd).st_mtime)
        for _, record in envelope.records(fd):
            if record[:1] == b"F":
                sender = record[1:]
            elif record[:1] == b"T":
                count += 1
                matched = matched or pattern is not None and like(record[1:], pattern)
    finally:
        os.close(fd)
    return sender, birth, count, count, matched, TODO


def read_queued(number, pattern):
    birth = int(os.stat(names.split("info", number)).st_mtime)
    sender, left, count, matched = (envelope.info(number) or (None,))[0], 0, 0, False
    for _, done, address in recipients(number):
        count += 1
        left += not done
        matched = matched or pattern is not None and like(address, pattern)
    return sender, birth, left, count, matched, QUEUED


def recipients(number):
    """Yields (channel, whether it is done, address) of a message that is preprocessed. A channel file that is done
    wholly is gone, and its recipients with it."""
    for channel in CHANNELS:
        try:
            fd = os.open(names.split(channel, number), READ)
        except FileNotFoundError:
            continue
        try:
            for _, record in envelope.records(fd):
                if record[:1] in (b"T", b"D"):
                    yield channel, record[:1] == b"D", record[1:]
        finally:
            os.close(fd)


def held():
    """{number: why} of the messages that qmail-send leaves alone."""
    return {number: "held" if stage in (suspects.HOLD, suspects.HELD) else f"set aside, {suspects.WHO.get(stage, 'something')} died of it"
            for number, stage in suspects.set_aside_now().items()}
