"""From todo to info, local and remote: the envelope of a new message is sorted by channel.

Runs in a worker thread: it waits for the disk, many messages at a time, while the loop goes on delivering.
A list of a million recipients passes through in pieces.

What must stay true:
- As long as todo/N exists, info/N, local/N and remote/N mean nothing and are made anew; so an
  interruption at any point costs nothing. They are complete on the disk when this returns
  them, and only then qmail-clean is asked to remove todo/N.
- They are created, never reopened: nothing left over can be mixed in.

Source: qmail's INTERNALS (S4 → S5), recorded logs for the order of steps and warnings.
"""
import os
from collections import namedtuple

from ..base import netio, number as numbers
from ..queue import envelope, names
from . import messages

Preprocessed = namedtuple("Preprocessed", "number lines channels uid")
Preprocessed.__doc__ = """lines: for the log, in order. channels: a tuple of the channels that have
recipients; None if something went wrong and todo/N waits for the next scan. uid: who queued it."""

HELD = 1 << 16                      # bytes of recipients collected before they are written
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Trouble(Exception):
    """A step failed; its text goes into the log as a warning."""


def preprocess(number, routing, queue, flush=os.fsync):
    """Sort todo/N by channel. routing: a rewrite.Routing. queue: descriptor of queue/. flush(fd): puts a
    file's data on the disk, its metadata at the latest with the next fsync of a file written after it."""
    lines, files, uid = [], {}, 0
    try:
        uid = _preprocess(number, routing, queue, flush, lines, files)
        channels = tuple(channel for channel in ("local", "remote") if channel in files)
    except Trouble as why:
        lines.append(messages.warning(str(why)))
        channels = None
    finally:
        for file in files.values():
            os.close(file.fd)
    return Preprocessed(number, lines, channels, uid)


def _preprocess(number, routing, queue, flush, lines, files):
    todo = names.flat("todo", number)
    with _Step("unable to open", todo):
        fd = os.open(todo, READ, dir_fd=queue)
    try:
        mess = names.split("mess", number)
        with _Step("unable to stat", mess):
            size = os.stat(mess, dir_fd=queue).st_size
        for kind in ("local", "remote", "info"):
            _remove(names.split(kind, number), queue)
        info = files["info"] = _File(names.split("info", number), queue)
        lines.append(messages.new_msg(number))
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
                file = files.get(channel)
                if file is None:
                    file = files[channel] = _File(names.split(channel, number), queue)
                file.put(b"T%b\0" % address)
            elif letter == b"F":
                info.put(record + b"\0")
                info.flush()
                lines.append(messages.info_msg(number, size, record[1:], pid, uid))
            elif letter == b"u":
                uid = numbers.unsigned(record[1:])
            elif letter == b"p":
                pid = numbers.unsigned(record[1:])
            else:
                raise Trouble(f"unknown record type in {todo}")
    finally:
        os.close(fd)
    *others, last = [files[kind] for kind in ("info", "local", "remote") if kind in files]
    for file in others:
        file.flush()
        file.sync(flush)
    last.flush()                    # after the others' data: so its commit is theirs, or a later one
    last.sync(os.fsync)
    return uid


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
        if self._size > HELD:       # before adding: something is always left for the last flush
            self.flush()
        self._held.append(record)
        self._size += len(record)

    def flush(self):
        data, self._held, self._size = b"".join(self._held), [], 0
        with _Step("trouble writing to", self.path):
            netio.write_all(self.fd, data)

    def sync(self, flush):
        with _Step("trouble fsyncing", self.path):
            flush(self.fd)
