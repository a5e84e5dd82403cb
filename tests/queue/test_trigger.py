"""lock/trigger: each pull wakes once, and none is lost."""
import os
import select

import pytest

from pyqmail.queue import trigger


@pytest.fixture
def listening(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("lock")
    os.mkfifo("lock/trigger")
    yield trigger.listen()


def readable(fd):
    return bool(select.select([fd], [], [], 0)[0])


def test_a_pull_wakes_once(listening):
    assert not readable(listening)
    trigger.pull()
    trigger.pull()
    assert readable(listening)
    fd, pulled = trigger.renew(listening)
    assert pulled and not readable(fd)
    trigger.pull()
    assert readable(fd)


def test_a_pull_that_takes_its_time_is_one(listening):
    writer = os.open("lock/trigger", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"\0")
    fd, pulled = trigger.renew(listening)
    assert pulled and not readable(fd)
    os.close(writer)
    assert readable(fd)
    fd, pulled = trigger.renew(fd)
    assert not pulled and not readable(fd)


def test_a_pull_meanwhile_is_not_lost(listening, monkeypatch):
    """Whatever step it comes between: it is told now, or the new descriptor is readable."""
    for step in ("open", "read", "close"):
        real = getattr(os, step)

        def meanwhile(*arguments, real=real, step=step):
            monkeypatch.undo()
            os.chdir(place)
            trigger.pull()
            return real(*arguments)
        place = os.getcwd()
        monkeypatch.setattr(os, step, meanwhile)
        trigger_fd, pulled = trigger.renew(listening)
        assert pulled or readable(trigger_fd), step
        listening, _ = trigger.renew(trigger_fd)


def test_without_a_trigger(listening):
    os.unlink("lock/trigger")
    assert trigger.renew(listening) == (None, True) and trigger.listen() is None
    trigger.pull()
