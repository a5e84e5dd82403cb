"""Which delivery an order is for: names that never meet, repeats that are known as such."""
import os

import pytest

from pyqmail.spawn import identity, wire

JOE, SUE = b"joe@host", b"sue@host"


class Queue:
    """queue/ with messages; the working directory is queue/mess."""

    def __init__(self, path):
        self.path = path
        for name in ("mess/12", "mess/5", "local/12", "local/5"):
            os.makedirs(path / name)
        os.chdir(path / "mess")

    def message(self, number=1001, mtime=1_795_338_307_000_000_001, recipients=(JOE,), split=12):
        """A message of this number; the same file is changed if there is one."""
        path = self.path / f"mess/{split}/{number}"
        path.write_bytes(b"text")
        os.utime(path, ns=(mtime, mtime))
        (self.path / f"local/{split}/{number}").write_bytes(b"".join(b"T%b\0" % each for each in recipients))
        return number

    def mark(self, number, place, split=12):
        """Mark the recipient at this place as done."""
        path = self.path / f"local/{split}/{number}"
        records = path.read_bytes().split(b"\0")
        records[place] = b"D" + records[place][1:]
        path.write_bytes(b"\0".join(records))


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path)


def of(identities, recipient=JOE, number=1001, split=12):
    messid = b"%d/%d" % (split, number)
    fd = os.open(messid, os.O_RDONLY)
    try:
        return identities.of(wire.Order(0, messid, b"s@x", recipient), fd)
    finally:
        os.close(fd)


def test_a_number_is_that_of_the_delivery_and_no_other(queue):
    queue.message(recipients=(JOE, SUE))
    queue.message(5, split=5)
    identities, later = identity.Identities(), identity.Identities()
    numbers = {of(identities).number, of(identities, SUE).number, of(identities, number=5, split=5).number}
    assert len(numbers) == 3 and of(later).number in numbers
    assert all(number.startswith(b"1795338307.000000001") and not number.strip(b"0123456789.") for number in numbers)


def test_an_inode_number_that_is_used_again_is_another_message(queue):
    identities = identity.Identities()
    queue.message()
    first = of(identities)
    queue.message(mtime=1_795_338_307_000_000_002)      # the same file, another nanosecond
    assert of(identities).number != first.number


def test_the_first_attempt_is_none_the_second_is_a_repeat(queue):
    identities = identity.Identities()
    queue.message()
    first = of(identities)
    assert not first.repeat
    identities.ended(first, b"Z")
    again = of(identities)
    assert again.repeat and again.number == first.number
    identities.ended(again, b"K")
    queue.message(mtime=1_795_338_307_000_000_002)
    assert not of(identities).repeat and not of(identities).repeat


def test_what_was_queued_before_the_start_may_be_a_repeat(queue):
    queue.message()
    identities = identity.Identities()
    queue.message(5, split=5)
    assert of(identities).repeat and not of(identities, number=5, split=5).repeat
    queue.message(mtime=1)              # a clock that was set back makes no difference
    assert not of(identities).repeat


def test_a_queue_that_cannot_be_listed_makes_every_order_a_repeat(queue, monkeypatch):
    def fail(*_):
        raise PermissionError
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", fail)
        identities = identity.Identities()
    queue.message()
    assert of(identities).repeat


def test_too_many_attempts_to_remember(queue, monkeypatch):
    monkeypatch.setattr(identity, "TRIED_MAX", 0)
    identities = identity.Identities()
    queue.message()
    identities.ended(of(identities), b"Z")
    queue.message(5, split=5)
    assert of(identities, number=5, split=5).repeat


class TestEqualRecipients:
    """Each of them is a delivery of its own; an order does not say which one it means."""

    @pytest.fixture
    def identities(self, queue):
        identities = identity.Identities()
        queue.message(recipients=(JOE, SUE, JOE))
        return identities

    def test_at_the_same_time(self, identities):
        assert len({of(identities).number, of(identities, SUE).number, of(identities).number}) == 3

    def test_one_after_the_other_marked_or_not_yet(self, queue, identities):
        first = of(identities)
        identities.ended(first, b"K")
        second = of(identities)         # the mark is not there yet
        assert second.number != first.number
        queue.mark(1001, 0)
        identities.ended(second, b"Z")
        assert of(identities).number == second.number

    def test_the_first_fails_the_second_is_done(self, queue, identities):
        first, second = of(identities), of(identities)
        identities.ended(second, b"K")
        queue.mark(1001, 2)
        identities.ended(first, b"Z")
        assert of(identities).number == first.number
        assert of(identity.Identities()).number == first.number

    def test_a_mark_that_failed(self, queue, identities):
        first = of(identities)
        identities.ended(first, b"K")
        second = of(identities)
        identities.ended(second, b"K")
        queue.mark(1001, 2)
        assert of(identities).number == first.number

    def test_after_a_restart(self, queue, identities):
        first = of(identities)
        identities.ended(first, b"K")
        again = identity.Identities()
        assert of(again).number == first.number != of(again).number

    def test_more_orders_than_recipients(self, identities):
        assert [bool(of(identities).number) for _ in range(3)] == [True, True, False]

    def test_only_some_messages_are_remembered(self, queue, identities, monkeypatch):
        monkeypatch.setattr(identity, "KEPT", 1)
        first = of(identities)          # under way: it stays
        queue.message(5, split=5, recipients=(JOE, SUE))
        for _ in range(3):
            of(identities, number=5, split=5)
        assert of(identities).number != first.number


@pytest.mark.parametrize("make", [
    lambda path: os.mkfifo(path), lambda path: os.symlink("/etc/passwd", path), lambda path: os.mkdir(path)])
def test_a_list_of_recipients_that_is_no_file(queue, make):
    queue.message()
    path = queue.path / "local/12/1001"
    path.unlink()
    make(path)
    assert of(identity.Identities()).number == b""


def test_a_list_that_is_not_there(queue):
    queue.message()
    (queue.path / "local/12/1001").unlink()
    assert of(identity.Identities()).number


def test_too_many_equal_ones(queue, monkeypatch):
    monkeypatch.setattr(identity, "TWINS_MAX", 2)
    queue.message(recipients=(JOE,) * 3 + (SUE,) * 2)
    identities = identity.Identities()
    assert not of(identities).number and of(identities, SUE).number
