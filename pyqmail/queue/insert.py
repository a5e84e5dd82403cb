"""Putting one message into the queue: states S1 to S4 of qmail's INTERNALS.

This is all of qmail-queue that writes. It runs with queue/ as working directory, as qmailq, under
umask 033, in the queue service (one thread a submission) or in bin/qmail-queue itself.

What must stay true:
- A name in todo/ means: mess and intd are complete *on the disk*. Both are written out before the link is
  made (base/durable.py); so a power cut leaves either no todo entry or a whole message.
- Success is reported only after fsync of intd following link(intd, todo): on ext4, XFS and btrfs
  syncing an inode commits its newest name too. (C qmail leaves that link to chance.)
- Messages that come together share one such commit, where the file system has a journal for all of them.
- What is removed on failure is removed in the order intd, mess: never a mess-less envelope.
"""
import errno
import os
import select
import time

from ..base import date, durable, netio
from . import names, trigger

ADDRESS = 1002                      # bytes; the longest envelope address
PIECE = 65536                       # bytes a read
TRIES = 9                           # names tried for the pid file

TOO_LONG, TIMEOUT, WRITE_ERROR, READ_ERROR = 11, 52, 53, 54
EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
NO_HOME, NO_QUEUE, NO_PID, NO_MESS, NO_INTD, NO_TODO, BAD_ENVELOPE = 61, 62, 63, 64, 65, 66, 91


class Refused(Exception):
    """The insertion ends with this qmail-queue exit code; what qmail removes has been removed."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Caller:
    """Who submits: real uid, the gid of the files, and the number shown as "qp"."""

    def __init__(self, uid, gid, qp, who):
        self.uid, self.gid, self.qp, self.who = uid, gid, qp, who


def invoked(uid, roles):
    """The words of the Received line for a caller: "by alias", "from network" … roles is
    {uid: role}."""
    words = {"alias": b"by alias", "qmaild": b"from network", "qmails": b"for bounce"}
    return words.get(roles.get(uid), b"by uid %d" % uid)


def received(caller, now):
    """The line in front of every message."""
    return b"Received: (qmail %d invoked %b); %b\n" % (caller.qp, caller.who, date.rfc822(now))


class Files:
    """A message in state S3, complete in mess/S/N and intd/N but perhaps not on the disk yet. code: None, after
    commit() 0 or qmail-queue's exit code."""

    __slots__ = ("number", "mess", "intd", "code")

    def __init__(self, number, mess, intd):
        self.number, self.mess, self.intd, self.code = number, mess, intd, None

    def remove(self):
        remove(self.intd, names.flat("intd", self.number))
        remove(self.mess, names.split("mess", self.number))

    def close(self):
        os.close(self.intd)
        os.close(self.mess)


def insert(message, envelope, caller, patience=None, disk=None, groups=()):
    """Queue what descriptor `message` delivers for the envelope on descriptor `envelope`.

    caller: a Caller. patience: seconds a read may wait for its next byte (None: for ever); then all reads
    together wait no longer than names.DEATH: somebody's trickle must not outlive qmail-clean's patience
    with its files. disk: a durable.Disk. groups: gids that files may be given to when they are the caller's.
    Returns the message number. Raises Refused with qmail-queue's exit code.
    """
    waiting = None if patience is None else Waiting(patience)
    files = prepare(pieces(message, waiting), envelope_records(envelope, waiting), caller, groups)
    try:
        commit([files], disk or durable.Disk())
        if files.code:
            raise Refused(files.code)
    finally:
        files.close()
    trigger.pull()
    return files.number


def insert_whole(text, envelope, caller, groups=()):
    """The same for a message and an envelope in memory, up to commit(), which is the caller's: one for as many
    messages as there are. Returns Files. Raises Refused."""
    return prepare((text,), records((envelope,)), caller, groups)


def prepare(text, envelope, caller, groups):
    """Files of the message whose bytes are the pieces `text`; envelope: pieces of records for intd. Raises Refused."""
    now = int(time.time())
    number, mess_fd = open_mess(caller, now, groups)
    try:
        mess, intd = names.split("mess", number), names.flat("intd", number)
        try:
            copy(text, mess_fd, received(caller, now))
        except Refused:
            remove(mess_fd, mess)
            raise
        try:
            intd_fd = create(intd, caller, groups)
        except OSError as why:
            if why.errno in EXHAUSTED:          # to leave the text to qmail-clean would make it worse
                remove(mess_fd, mess)
            raise Refused(NO_INTD) from None
        files = Files(number, mess_fd, intd_fd)
        try:
            held = b"u%d\0p%d\0" % (caller.uid, caller.qp)
            for piece in envelope:
                write(intd_fd, held + piece)
                held = b""
            if held:
                write(intd_fd, held)
        except Refused as why:
            if why.code not in (TOO_LONG, BAD_ENVELOPE):        # qmail leaves those two to qmail-clean
                files.remove()
            os.close(intd_fd)
            raise
        except BaseException:
            os.close(intd_fd)
            raise
        return files
    except BaseException:
        os.close(mess_fd)
        raise


def commit(batch, disk):
    """S3 to S4 for each of the Files, which get their code; those with 0 are on the disk when this returns."""
    for files in batch:
        disk.start(files.mess)
        disk.start(files.intd)
    linked = []
    for files in batch:
        try:
            settle(files, disk)
            link(files)
        except Refused as why:
            files.code = why.code
        else:
            linked.append(files)
    code = 0
    try:
        disk.commit([files.intd for files in linked])
    except OSError:
        # The names may or may not survive: taking them back could lose what was seen already.
        code = WRITE_ERROR
    for files in linked:
        files.code = code


def settle(files, disk):
    """Both files are on the disk by the time their name in todo is. Raises Refused."""
    try:
        disk.flush(files.intd)
        disk.flush(files.mess)
    except OSError:
        files.remove()
        raise Refused(WRITE_ERROR) from None


def link(files):
    """The message is in todo/N. Raises Refused."""
    try:
        os.link(names.flat("intd", files.number), names.flat("todo", files.number))
    except OSError as why:
        if why.errno in EXHAUSTED:
            files.remove()
        raise Refused(NO_TODO) from None


def open_mess(caller, now, groups):
    """A new message file: (number, descriptor). Raises Refused."""
    for attempt in range(1, TRIES + 1):
        pid = f"pid/{caller.qp}.{now}.{attempt}"
        try:
            fd = os.open(pid, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            break
        except FileExistsError:
            continue
        except OSError:
            raise Refused(NO_PID) from None
    else:
        raise Refused(NO_PID)
    try:
        give(fd, caller, groups)
        number = os.fstat(fd).st_ino
        try:
            os.link(pid, names.split("mess", number))
        except OSError as why:
            if why.errno in EXHAUSTED:
                remove(fd, pid)
            raise Refused(NO_MESS) from None
        try:
            os.unlink(pid)
        except OSError:
            raise Refused(NO_PID) from None
    except Refused:
        os.close(fd)
        raise
    return number, fd


def create(name, caller, groups):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    give(fd, caller, groups)
    return fd


def give(fd, caller, groups):
    """Queue files carry the caller's group where the service belongs to it, as qmail's do."""
    if caller.gid in groups:
        os.fchown(fd, -1, caller.gid)


def remove(fd, name):
    """Take a file back: empty it first, so that a name that cannot be removed holds no mail."""
    for step in (lambda: os.ftruncate(fd, 0), lambda: os.unlink(name)):
        try:
            step()
        except OSError:
            pass


def copy(pieces, target, start):
    """Write `start` and then all the pieces. Raises Refused."""
    for piece in pieces:            # `start` goes out with the first one: one write for a small message
        write(target, start + piece if start else piece)
        start = b""
    if start:
        write(target, start)


def pieces(fd, waiting):
    """Everything that descriptor `fd` delivers. Raises Refused."""
    while piece := read(fd, waiting):
        yield piece


class Waiting:
    """How long reads may wait: `idle` seconds for the next byte, names.DEATH from now on altogether."""

    def __init__(self, idle):
        self.idle, self.end = idle, time.monotonic() + names.DEATH

    def until_readable(self, fd):
        """Raises Refused when nothing comes in time."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        left = self.end - time.monotonic()
        if left <= 0 or not poll.poll(min(self.idle, left) * 1000):
            raise Refused(TIMEOUT)


def read(fd, waiting):
    """Some bytes, b"" at end of file. waiting: a Waiting, None to wait for ever. Raises Refused."""
    try:
        if waiting is not None:
            waiting.until_readable(fd)
        return os.read(fd, PIECE)
    except OSError:
        raise Refused(READ_ERROR) from None


def write(fd, data):
    try:
        netio.write_all(fd, data)
    except OSError:
        raise Refused(WRITE_ERROR) from None


def envelope_records(fd, waiting):
    """The records of the envelope that descriptor `fd` delivers. Raises Refused."""
    return records(pieces(fd, waiting))


def records(data):
    """The records of an envelope as they go into intd: F first, then T…, in pieces.

    Input, in pieces: `F` sender NUL, `T` recipient NUL …, and one more NUL; what follows is not read on
    purpose. Raises Refused: 91 for another letter, 11 for an address over 1002 bytes, 54 when it
    ends early.
    """
    held, expected = b"", b"F"
    for piece in data:
        held += piece
        good, done, expected, held = take(held, expected)
        if good:
            yield good
        if done:
            return
    raise Refused(READ_ERROR if not held or held[:1] == expected else BAD_ENVELOPE)


def take(held, expected):
    """Split complete records off: (records, whether the end was seen, next letter, rest)."""
    start, records = 0, held.split(b"\0")
    for record in records[:-1]:
        if not record and expected == b"T":
            return held[:start], True, b"T", b""
        check(record, expected, complete=True)
        expected = b"T"
        start += len(record) + 1
    check(records[-1], expected, complete=False)
    return held[:start], False, expected, held[start:]


def check(record, expected, complete):
    if record[:1] != expected and (record or complete):
        raise Refused(BAD_ENVELOPE)
    if len(record) - 1 > ADDRESS:
        raise Refused(TOO_LONG)


def reason(why):
    """An exception as one of qmail-queue's exit codes; what nobody foresaw is a write error."""
    if isinstance(why, Refused):
        return why.code
    return 51 if isinstance(why, MemoryError) else WRITE_ERROR


