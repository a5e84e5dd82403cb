"""From todo to info, local and remote: the envelopes of new messages are sorted by channel.

The loop makes the files, and a thread waits for the disk, meanwhile deliveries go on: for a thread that makes system
calls beside a busy loop each call costs two turns of the interpreter's lock. Messages that came together get to
the disk together, with one commit, or with none where todo shares their journal. A long list is wholly a
thread's, and passes through in pieces.

What must stay true:
- As long as todo/N exists, info/N, local/N and remote/N mean nothing and are made anew; so an
  interruption at any point costs nothing. They are complete on the disk when this returns them, or will be no later
  than anything that is done to todo from then on, and only then qmail-clean is asked to remove todo/N.
- They are created, never reopened: nothing left over can be mixed in.

Source: qmail's INTERNALS (S4 → S5), recorded logs for the order of steps and warnings.
"""
import os
from collections import namedtuple
from contextlib import nullcontext

from ..base import netio, number as numbers
from ..queue import envelope, names
from . import messages

Preprocessed = namedtuple("Preprocessed", "number lines channels uid sender birth")
Preprocessed.__doc__ = """lines: for the log, in order. channels: a tuple of the channels that have
recipients; None if something went wrong and todo/N waits for the next scan. uid: who queued it. sender,
birth: as info has them; sender is None if the envelope had none."""

LONG = 1 << 14                      # bytes of an envelope; the loop does not go through longer ones
HELD = 1 << 16                      # bytes of recipients collected before they are written
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
KINDS = ("info", "local", "remote")


class Trouble(Exception):
    """A step failed; its text goes into the log as a warning."""


def prepare(batch, routing, queue, during=nullcontext):
    """Make the files of these messages: ([Message], the numbers that were left, beginning with a long list).

    routing: a rewrite.Routing. queue: descriptor of queue/. during(number): a context for the time in which
    that message's envelope is read."""
    done = []
    for at, number in enumerate(batch):
        message = Message(number)
        try:
            with during(number):
                message.sort(routing, queue, LONG)
        except Long:
            return done, batch[at:]
        done.append(message)
    return done, []


def prepare_long(number, routing, queue, during=nullcontext):
    """The Message of a list of any length."""
    message = Message(number)
    with during(number):
        message.sort(routing, queue, None)
    return message


def write_out(batch, disk):
    """Put all files of these Messages on the disk, or at least so that no removal of todo/N can get there sooner;
    [Preprocessed]."""
    try:
        for message in batch:
            for file in message.files.values():
                disk.start(file.fd)
        for message in batch:
            message.attempt(lambda message=message: [file.flush_to(disk) for file in message.in_order()])
        written = [message for message in batch if message.files]
        try:
            if written:
                files = [file.fd for message in written for file in message.in_order()]
                disk.before(files, written[0].file_system)
        except OSError:
            for message in written:
                message.fail(f"trouble fsyncing {message.in_order()[-1].path}")
        return [message.result() for message in batch]
    finally:
        for message in batch:
            message.close()


class Long(Exception):
    """The envelope is too long."""


class Message:
    """A message on its way. lines: see Preprocessed; files: {kind: _File}; file_system: the number of todo's."""

    def __init__(self, number):
        self.number, self.lines, self.files, self.uid, self.failed = number, [], {}, 0, False
        self.sender, self.birth, self.file_system = None, 0, None

    def attempt(self, step):
        """Carry out step(); what goes wrong is this message's trouble only. Raises Long if that does."""
        try:
            step()
        except Long:
            raise
        except Trouble as why:
            self.fail(str(why))
        except Exception as why:        # no memory, a bug
            self.fail(f"unable to preprocess {names.flat('todo', self.number)}: {why!r:.300}")

    def fail(self, what):
        self.lines.append(messages.warning(what))
        self.failed = True
        self.close()

    def close(self):
        for file in self.files.values():
            os.close(file.fd)
        self.files = {}

    def in_order(self):
        return [self.files[kind] for kind in KINDS if kind in self.files]

    def result(self):
        channels = None if self.failed else tuple(kind for kind in KINDS[1:] if kind in self.files)
        return Preprocessed(self.number, self.lines, channels, self.uid, self.sender, self.birth)

    # ------------------------------------------------------------ the envelope

    def sort(self, routing, queue, limit):
        """Make the files, not on the disk yet. Raises Long if the envelope has more than `limit` bytes."""
        self.attempt(lambda: self._open_and_sort(names.flat("todo", self.number), routing, queue, limit))

    def _open_and_sort(self, todo, routing, queue, limit):
        with _Step("unable to open", todo):
            fd = os.open(todo, READ, dir_fd=queue)
        try:
            found = os.fstat(fd)
            self.file_system = found.st_dev
            if limit is not None and found.st_size > limit:
                raise Long
            self._sort(todo, fd, routing, queue)
        finally:
            os.close(fd)

    def _sort(self, todo, fd, routing, queue):
        mess = names.split("mess", self.number)
        with _Step("unable to stat", mess):
            size = os.stat(mess, dir_fd=queue).st_size
        for kind in ("local", "remote", "info"):
            _remove(names.split(kind, self.number), queue)
        info = self._create("info", queue)
        self.lines.append(messages.new_msg(self.number))
        uid = pid = 0
        records = envelope.records(fd, HELD)
        while True:
            with _Step("trouble reading", todo):
                _, record = next(records, (0, None))
            if record is None:
                break
            letter = record[:1]
            if letter == b"T":
                channel, address = routing.route(record[1:])
                file = self.files.get(channel) or self._create(channel, queue)
                file.put(b"T%b\0" % address)
            elif letter == b"F":
                self.sender = record[1:] if self.sender is None else self.sender
                info.put(record + b"\0")
                info.write()
                self.lines.append(messages.info_msg(self.number, size, record[1:], pid, uid))
            elif letter == b"u":
                self.uid = uid = numbers.unsigned(record[1:])
            elif letter == b"p":
                pid = numbers.unsigned(record[1:])
            else:
                raise Trouble(f"unknown record type in {todo}")
        for file in self.in_order():
            file.write()
        self.birth = os.fstat(info.fd).st_mtime_ns // 1_000_000_000

    def _create(self, kind, queue):
        file = self.files[kind] = _File(names.split(kind, self.number), queue)
        return file


class _Step:
    """Within it, an OSError becomes Trouble: "what path"."""

    def __init__(self, what, path):
        self.text = f"{what} {path}"

    def __enter__(self):
        return self

    def __exit__(self, kind, why, _):
        if kind is not None and issubclass(kind, OSError):
            raise Trouble(self.text) from why


def _remove(path, queue):
    try:
        os.unlink(path, dir_fd=queue)
    except FileNotFoundError:
        pass
    except OSError as why:
        raise Trouble(f"unable to unlink {path}") from why


class _File:
    """An info or channel file being made."""

    def __init__(self, path, queue):
        self.path = path
        with _Step("unable to create", path):
            self.fd = os.open(path, CREATE, 0o600, dir_fd=queue)
        self._held, self._size = [], 0

    def put(self, record):
        if self._size > HELD:       # before adding: something is always left for the last write
            self.write()
        self._held.append(record)
        self._size += len(record)

    def write(self):
        if self._held:
            data, self._held, self._size = b"".join(self._held), [], 0
            with _Step("trouble writing to", self.path):
                netio.write_all(self.fd, data)

    def flush_to(self, disk):
        with _Step("trouble fsyncing", self.path):
            disk.flush(self.fd)
