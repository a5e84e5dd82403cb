"""A queue directory, a clock turned by hand, a log that is read, pipes: what qmail-send's parts are wired to."""
import os
from types import SimpleNamespace

import pytest

from pyqmail.queue import names
from pyqmail.send.hands import Hands
from pyqmail.send.rewrite import Routing


class HandClock:
    """Stands still until somebody moves `time`."""

    def __init__(self, time=1_700_000_000):
        self.time = time

    def now(self):
        return self.time

    def monotonic(self):
        return float(self.time)


class ReadLog(list):
    """The lines that were said."""
    say = list.append

    def flush(self):
        pass


class Paused(Exception):
    """The program would sleep now; its text is the line that was logged."""


class DirectPool:
    """Does the work at once, hands it back at collect()."""

    def __init__(self):
        self.finished, self.active = [], 0

    free = True

    def submit(self, then, function, *arguments):
        result = error = None
        try:
            result = function(*arguments)
        except Exception as why:
            error = why
        self.finished.append((then, result, error))
        self.active += 1

    def collect(self):
        finished, self.finished, self.active = self.finished, [], 0
        for then, result, error in finished:
            then(result, error)


def pause(line):
    raise Paused(line)


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """An empty queue as working directory: .write(kind, number, bytes, mtime), .read(kind, number), .fd."""
    for kind in ("bounce", "intd", "todo", "pid", "lock"):
        (tmp_path / kind).mkdir()
    for kind in names.DIRECTORIES_SPLIT:
        for split in range(names.SPLIT):
            (tmp_path / kind / str(split)).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def path(kind, number):
        return tmp_path / (names.split(kind, number) if kind in names.DIRECTORIES_SPLIT else names.flat(kind, number))

    def write(kind, number, content, mtime=None):
        path(kind, number).write_bytes(content)
        if mtime is not None:
            os.utime(path(kind, number), (mtime, mtime))

    def read(kind, number):
        return path(kind, number).read_bytes() if path(kind, number).exists() else None

    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield SimpleNamespace(root=tmp_path, path=path, write=write, read=read, fd=fd)
    os.close(fd)


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def log():
    return ReadLog()


@pytest.fixture
def pool():
    return DirectPool()


@pytest.fixture
def controls():
    return SimpleNamespace(
        routing=Routing(frozenset({b"me.example"}), envnoathost=b"me.example"), lifetime=604_800,
        bouncefrom=b"MAILER-DAEMON", bouncehost=b"me.example", doublebounceto=b"postmaster@me.example")


@pytest.fixture
def hands(tmp_path, queue):
    """What is in hand; nothing is suspect."""
    (tmp_path / "run").mkdir()
    return Hands(ReadLog(), str(tmp_path / "run"))


@pytest.fixture
def pausing():
    return pause
