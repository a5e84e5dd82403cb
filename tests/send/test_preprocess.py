"""todo → info, local, remote: contents, log lines, and what stays when a step fails."""
import os

import pytest

from pyqmail.base import durable
from pyqmail.send import preprocess as module
from pyqmail.send.preprocess import prepare, prepare_long, write_out

MESS = b"Subject: hi\n\nbody\n"
ROOT_SEES_ALL = pytest.mark.skipif(os.geteuid() == 0, reason="root is refused nothing")


class Watched(durable.Disk):
    """Says when it does what; flush(fd) is the test's."""

    def __init__(self, flush=None):
        self.steps, self._flush = [], flush

    def flush(self, fd):
        self.steps.append("flush " + os.readlink(f"/proc/self/fd/{fd}").split("/")[-3])
        if self._flush:
            self._flush(fd)

    def commit(self, fds, new_names):
        assert not new_names
        self.steps.append("commit")


def run(queue, controls, todo, disk=None):
    queue.write("mess", 1001, MESS)
    queue.write("todo", 1001, todo)
    return alone(queue, controls, disk)


def alone(queue, controls, disk=None):
    ready, left = prepare([1001], controls.routing, queue.fd)
    assert left == []
    [result] = write_out(ready, disk or durable.Disk())
    return result


def test_recipients_are_sorted_by_channel(queue, controls):
    result = run(queue, controls, b"u1000\0p555\0Fs@a\0Ta@r\0Tb@me.example\0Tc@r\0Td\0")
    assert result.lines == [b"new msg 1001", b"info msg 1001: bytes 18 from <s@a> qp 555 uid 1000"]
    assert result.channels == ("local", "remote")
    assert queue.read("info", 1001) == b"Fs@a\0"
    assert queue.read("local", 1001) == b"Tb@me.example\0Td@me.example\0"
    assert queue.read("remote", 1001) == b"Ta@r\0Tc@r\0"
    assert queue.read("todo", 1001) is not None
    assert all(queue.path(kind, 1001).stat().st_mode & 0o777 == 0o600 & ~os.umask(0o077) for kind in ("info", "local"))


def test_leftovers_are_made_anew(queue, controls):
    for kind in ("info", "local", "remote"):
        queue.write(kind, 1001, b"Told@x\0")
    assert run(queue, controls, b"Fs@a\0Tb@me.example\0").channels == ("local",)
    assert queue.read("info", 1001) == b"Fs@a\0"
    assert queue.read("local", 1001) == b"Tb@me.example\0"
    assert queue.read("remote", 1001) is None


@pytest.mark.parametrize("todo, lines, channels", [
    (b"", [b"new msg 1001"], ()),
    (b"Fs@a\0", [b"new msg 1001", b"info msg 1001: bytes 18 from <s@a> qp 0 uid 0"], ()),
    (b"Fs@a\0Tb@r", [b"new msg 1001", b"info msg 1001: bytes 18 from <s@a> qp 0 uid 0"], ()),
    (b"Tb@r\0", [b"new msg 1001"], ("remote",)),
    (b"Fs@a\0Xy\0", [b"new msg 1001", b"info msg 1001: bytes 18 from <s@a> qp 0 uid 0",
                     b"warning: unknown record type in todo/1001"], None),
    (b"\0", [b"new msg 1001", b"warning: unknown record type in todo/1001"], None),
])
def test_odd_envelopes(queue, controls, todo, lines, channels):
    result = run(queue, controls, todo)
    assert (result.lines, result.channels) == (lines, channels)


def test_without_message(queue, controls):
    queue.write("todo", 1001, b"Fs@a\0")
    assert alone(queue, controls) == (
        1001, [b"warning: unable to stat mess/12/1001"], None, 0, None, 0)
    assert queue.read("info", 1001) is None


def test_without_todo(queue, controls):
    assert alone(queue, controls).lines == [b"warning: unable to open todo/1001"]


@ROOT_SEES_ALL
def test_info_cannot_be_created(queue, controls):
    os.chmod(queue.root / "info/12", 0o500)
    result = run(queue, controls, b"Fs@a\0Tb@r\0")
    os.chmod(queue.root / "info/12", 0o700)
    assert result == (1001, [b"warning: unable to create info/12/1001"], None, 0, None, 0)


def test_a_list_longer_than_memory_should_hold(queue, controls, monkeypatch):
    """Written in pieces, in order, the last piece after the other files were flushed."""
    monkeypatch.setattr(module, "HELD", 100)
    recipients = [b"user%d@%s" % (number, b"me.example" if number % 3 else b"r.example") for number in range(500)]
    result = run(queue, controls, b"Fs@a\0" + b"".join(b"T%b\0" % recipient for recipient in recipients))
    assert result.channels == ("local", "remote")
    stored = queue.read("local", 1001) + queue.read("remote", 1001)
    assert sorted(stored.split(b"\0")[:-1]) == sorted(b"T" + recipient for recipient in recipients)


def test_order_of_reaching_the_disk(queue, controls):
    """One commit, after the contents of all files of all messages."""
    for number in (1001, 1002):
        queue.write("mess", number, MESS)
        queue.write("todo", number, b"Fs@a\0Tb@me.example\0Tc@r\0")
    disk = Watched()
    ready, left = prepare([1001, 1002], controls.routing, queue.fd)
    results = write_out(ready, disk)
    assert [result.channels for result in results] == [("local", "remote")] * 2 and left == []
    assert disk.steps == ["flush info", "flush local", "flush remote"] * 2 + ["commit"]


def test_trouble_of_one_is_nobody_elses(queue, controls):
    for number, todo in (1001, b"Fs@a\0Tc@r\0"), (1002, b"\0"), (1004, b"Fs@a\0Tc@r\0"):
        queue.write("mess", number, MESS)
        queue.write("todo", number, todo)
    ready, left = prepare([1001, 1002, 1003, 1004], controls.routing, queue.fd)
    results = write_out(ready, durable.Disk())
    assert [result.channels for result in results] == [("remote",), None, None, ("remote",)] and left == []


def test_long_lists_keep_nobody_waiting(queue, controls, monkeypatch):
    monkeypatch.setattr(module, "LONG", 100)
    for number in range(1001, 1006):
        queue.write("mess", number, MESS)
        queue.write("todo", number, b"Fs@a\0Tc@r\0" * (20 if number in (1003, 1004) else 1))
    ready, left = prepare(list(range(1001, 1006)), controls.routing, queue.fd)
    assert [message.number for message in ready] == [1001, 1002] and left == [1003, 1004, 1005]
    write_out(ready, durable.Disk())
    assert prepare(left, controls.routing, queue.fd) == ([], left)
    [result] = write_out([prepare_long(1003, controls.routing, queue.fd)], durable.Disk())
    assert result.channels == ("remote",) and queue.read("remote", 1003) == b"Tc@r\0" * 20


def test_a_commit_that_fails_is_everybodys(queue, controls):
    def commit(fds, new_names):
        raise OSError(5, "input/output error")
    disk = durable.Disk()
    disk.commit = commit
    for number in (1001, 1002):
        queue.write("mess", number, MESS)
        queue.write("todo", number, b"Fs@a\0Tc@r\0")
    ready, _ = prepare([1001, 1002], controls.routing, queue.fd)
    results = write_out(ready, disk)
    assert [result.channels for result in results] == [None, None]
    assert all(b"trouble fsyncing" in result.lines[-1] for result in results)


def test_sync_trouble_leaves_todo(queue, controls):
    def flush(fd):
        raise OSError(5, "input/output error")
    result = run(queue, controls, b"Fs@a\0Tc@r\0", Watched(flush))
    assert result.channels is None
    assert result.lines[-1] == b"warning: trouble fsyncing info/12/1001"
