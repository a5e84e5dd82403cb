"""Putting one message into the queue: states S1 to S4 of qmail's INTERNALS.

This is all of qmail-queue that writes. It runs with queue/ as working directory, as qmailq, under
umask 033, in the queue service or in bin/qmail-queue itself. Who has a message gives it to Files in pieces, as it comes;
nothing here waits for anybody but the disk.

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
import time

from ..base import date, durable, netio
from . import names, trigger

ADDRESS = 1002                      # bytes; the longest envelope address
PIECE = 65536                       # bytes a read
TRIES = 9                           # names tried for the pid file

TOO_LONG, TIMEOUT, WRITE_ERROR, READ_ERROR = 11, 52, 53, 54
EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
NO_HOME, NO_QUEUE, NO_PID, NO_MESS, NO_INTD, NO_TODO, BAD_ENVELOPE = 61, 62, 63, 64, 65, 66, 91
LEFT = (NO_INTD, TOO_LONG, BAD_ENVELOPE)        # with these, qmail leaves the files to qmail-clean


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
    """A message on its way from S2 to S3: mess/S/N, and intd/N from the beginning of its envelope. code: None, after
    commit() 0 or qmail-queue's exit code. The constructor and what adds to the files raise Refused; call give_up()
    then."""

    __slots__ = ("number", "mess", "intd", "code", "_caller", "_groups", "_head", "_records")

    def __init__(self, caller, groups=()):
        """groups: gids that files may be given to when they are the caller's."""
        now = int(time.time())
        self.number, self.mess = open_mess(caller, now, groups)
        self.intd, self.code, self._caller, self._groups = -1, None, caller, groups
        self._head, self._records = received(caller, now), Records()

    def add_text(self, data):
        """More of the message."""
        if self._head:              # goes out with the first piece: one write for a small message
            data, self._head = self._head + data, b""
        write(self.mess, data)

    def add_envelope(self, data):
        """More of the envelope, which ends the message; b"" says that no more will come. True if it is complete."""
        if self.intd < 0:
            self._begin_envelope()
        good = self._records.feed(data)
        if good:
            if self._caller is not None:
                good, self._caller = b"u%d\0p%d\0%b" % (self._caller.uid, self._caller.qp, good), None
            write(self.intd, good)
        return self._records.done

    def _begin_envelope(self):
        if self._head:
            self.add_text(b"")
        try:
            self.intd = create(names.flat("intd", self.number), self._caller, self._groups)
        except OSError as why:
            if why.errno in EXHAUSTED:          # to leave the text to qmail-clean would make it worse
                remove(self.mess, names.split("mess", self.number))
            raise Refused(NO_INTD) from None

    def give_up(self, code):
        """The message will not be queued: remove what qmail removes, and close()."""
        if code not in LEFT:
            self.remove()
        self.close()

    def remove(self):
        if self.intd >= 0:
            remove(self.intd, names.flat("intd", self.number))
        remove(self.mess, names.split("mess", self.number))

    def close(self):
        if self.intd >= 0:
            os.close(self.intd)
        os.close(self.mess)


def insert(message, envelope, caller):
    """Queue what descriptor `message` delivers for the envelope on descriptor `envelope`.

    caller: a Caller. Returns the message number. Raises Refused with qmail-queue's exit code.
    """
    files = Files(caller)
    try:
        while piece := read(message):
            files.add_text(piece)
        while not files.add_envelope(read(envelope)):
            pass
    except Exception as why:
        files.give_up(reason(why))
        raise
    try:
        commit([files], durable.Disk())
    finally:
        files.close()
    if files.code:
        raise Refused(files.code)
    trigger.pull()
    return files.number


def insert_whole(text, envelope, caller, groups=()):
    """Files of a message and an envelope in memory, up to commit(), which is the caller's: one for as many messages as
    there are. Raises Refused."""
    files = Files(caller, groups)
    try:
        files.add_text(text)
        if not files.add_envelope(envelope):
            files.add_envelope(b"")
    except Exception as why:
        files.give_up(reason(why))
        raise
    return files


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


def read(fd):
    """Some bytes, b"" at end of file. Raises Refused."""
    try:
        return os.read(fd, PIECE)
    except OSError:
        raise Refused(READ_ERROR) from None


def write(fd, data):
    try:
        netio.write_all(fd, data)
    except OSError:
        raise Refused(WRITE_ERROR) from None


class Records:
    """The records of an envelope as they go into intd: F first, then T…

    Input, in pieces: `F` sender NUL, `T` recipient NUL …, and one more NUL; what follows is ignored. done: that
    NUL has come. feed() raises Refused: 91 for another letter, 11 for an address over 1002 bytes, 54 when it ends early.
    """

    __slots__ = ("_held", "_expected", "done")

    def __init__(self):
        self._held, self._expected, self.done = b"", b"F", False

    def feed(self, data):
        """The records that are complete with this piece; b"" for the piece is the end."""
        if not data:
            raise Refused(READ_ERROR if not self._held or self._held[:1] == self._expected else BAD_ENVELOPE)
        good, self.done, self._expected, self._held = take(self._held + data, self._expected)
        return good


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


