"""Messages found at the start, messages that end, orphans, and scans of todo: each with its files on a real disk."""
import os
from types import SimpleNamespace

import pytest

from pyqmail.queue import names
from pyqmail.send.channel import Channel
from pyqmail.send.cleaner import Cleaner
from pyqmail.send.finish import Finisher
from pyqmail.send.known import Known
from pyqmail.send.restart import Entry
from pyqmail.send.scheduler import Due
from pyqmail.send.sweep import SWEEP_EVERY, Sweep
from pyqmail.send.todo import SCAN_EVERY, Todo

NOW = 1_700_000_000


class Clean(Cleaner):
    """qmail-clean without a pipe: requests are noted, answer() answers the oldest."""

    def __init__(self):
        super().__init__(lambda: None, -1, -1)
        self.asked = []

    def request(self, kind, number, answered):
        super().request(kind, number, answered)
        self.asked.append(f"{kind}/{number}")

    def send(self):
        pass

    def answer(self, byte):
        self._take(self._waiting.popleft(), byte)


@pytest.fixture
def clean():
    return Clean()


@pytest.fixture
def channels():
    return {name: Channel(name, -1, -1, 10) for name in ("local", "remote")}


@pytest.fixture
def entry(clock, log, channels, pausing, hands):
    return Entry(clock, log, channels, Due(), pausing, hands, 604_800)


def test_due_times_are_those_of_the_files(queue, entry, channels):
    queue.write("info", 1001, b"Fs\0")
    queue.write("local", 1001, b"", NOW + 50)
    queue.write("remote", 1001, b"", NOW - 50)
    queue.write("info", 23, b"Fs\0")
    entry.everything()
    assert list(channels["local"].due.drain()) == [(NOW + 50, 1001)]
    assert list(channels["remote"].due.drain()) == [(NOW - 50, 1001)]
    assert list(entry._done.drain()) == [(NOW, 23)]


def test_not_entered(queue, entry, channels):
    queue.write("info", 1001, b"Fs\0")
    queue.write("todo", 1001, b"")
    (queue.root / "info/5/1002").write_bytes(b"")
    (queue.root / "info/5/05").write_bytes(b"")
    (queue.root / "info/5/x").write_bytes(b"")
    queue.write("local", 7, b"")
    entry.everything()
    assert not entry._done and not channels["local"].due


def test_times_are_stored_at_the_end(queue, entry, channels, log):
    queue.write("local", 1001, b"")
    channels["local"].due.add(NOW + 77, 1001)
    channels["remote"].due.add(NOW + 77, 1001)
    entry.store_times()
    assert int(queue.path("local", 1001).stat().st_mtime) == NOW + 77
    assert log == [b"warning: unable to utime remote/12/1001; message will be retried too soon"]


def test_a_missing_directory_is_waited_for(queue, entry):
    os.rmdir(queue.root / "info/3")
    with pytest.raises(Exception, match="alert: unable to opendir info/3, sleeping..."):
        entry.everything()


@pytest.fixture
def finisher(clock, log, pool, clean, controls, queue, hands):
    done = Due()
    finisher = Finisher(clock, log, pool, clean, controls, done, queue.fd, hands, Known())
    finisher.done = done
    return finisher


def finish(finisher, number=1001):
    finisher.done.add(NOW, number)
    assert finisher.step()


def test_end_without_bounce(queue, finisher, clean, log):
    queue.write("info", 1001, b"Fs@a\0")
    finish(finisher)
    assert log == [b"end msg 1001"] and clean.asked == ["foop/1001"] and queue.read("info", 1001) is None
    clean.answer(b"!")
    assert log[1:] == [b"warning: qmail-clean unable to clean up foop/1001"]


@pytest.mark.parametrize("kind", ["local", "remote", "todo"])
def test_false_alarm(queue, finisher, clean, kind):
    queue.write("info", 1001, b"Fs@a\0")
    queue.write(kind, 1001, b"")
    finish(finisher)
    assert clean.asked == [] and not finisher.done


def test_info_that_cannot_be_read_is_looked_at_again(queue, finisher, log):
    queue.write("info", 1001, b"")
    finish(finisher)
    assert log == [] and list(finisher.done.drain()) == [(NOW + 123, 1001)]


@pytest.mark.parametrize("sender, wanted, line", [
    (b"#@[]", b"p@x", b"triple bounce: discarding bounce/1001"),
    (b"", None, b"double bounce: discarding bounce/1001")])
def test_discarded_bounces(queue, finisher, controls, log, sender, wanted, line):
    controls.doublebounceto = wanted
    queue.write("info", 1001, b"F%b\0" % sender)
    queue.write("bounce", 1001, b"<r>:\nno\n\n")
    finish(finisher)
    assert log == [line, b"end msg 1001"] and queue.read("bounce", 1001) is None


@pytest.mark.parametrize("code, lines, left", [
    (0, [b"bounce msg 1001 qp", b"end msg 1001"], None),
    (53, [b"warning: trouble injecting bounce message, will try later"], b"<r>:\nno\n\n"),
    (31, [b"warning: trouble injecting bounce message, will try later"], b"<r>:\nno\n\n")])
def test_bounce_through_a_program(queue, finisher, pool, log, monkeypatch, code, lines, left):
    """The program gets the message on 0 and the envelope on 1, runs in QMAILHOME, and its exit code counts."""
    program = queue.root / "fake-queue"
    program.write_text(f"#!/bin/sh\npwd > {queue.root}/where\ncat > {queue.root}/message\n"
                       f"cat <&1 > {queue.root}/envelope\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("QMAILQUEUE", str(program))
    queue.write("info", 1001, b"Fs@a\0")
    queue.write("mess", 1001, b"body\n")
    queue.write("bounce", 1001, b"<r>:\nno\n\n")
    finish(finisher)
    pool.collect()
    assert [line[:len(start)] for line, start in zip(log, lines, strict=True)] == lines
    assert queue.read("bounce", 1001) == left
    assert (queue.root / "envelope").read_bytes() == b"F\0Ts@a\0\0"
    assert (queue.root / "message").read_bytes().endswith(b"Return-Path: <s@a>\nbody\n")
    assert (queue.root / "where").read_text() != f"{queue.root}\n"
    assert os.getcwd() == str(queue.root)


def test_queue_program_that_does_not_exist(queue, finisher, log, monkeypatch):
    monkeypatch.setenv("QMAILQUEUE", str(queue.root / "missing"))
    queue.write("info", 1001, b"Fs@a\0")
    queue.write("bounce", 1001, b"<r>:\nno\n\n")
    finish(finisher)
    assert log == [b"warning: trouble injecting bounce message, will try later"]
    assert queue.read("bounce", 1001) and list(finisher.done.drain()) == [(NOW + 123, 1001)]


@pytest.mark.parametrize("age, others, asked", [
    (names.OSSIFIED + 1, (), ["foop/1001"]), (names.OSSIFIED, (), []), (names.OSSIFIED + 1, ("info",), []),
    (names.OSSIFIED + 1, ("todo",), []), (names.OSSIFIED + 1, ("intd", "local"), ["foop/1001"])])
def test_orphans(queue, clock, log, clean, pausing, age, others, asked):
    queue.write("mess", 1001, b"", NOW - age)
    (queue.root / "mess/3/1001").write_bytes(b"")
    for kind in others:
        queue.write(kind, 1001, b"")
    sweep = Sweep(clock, log, clean, pausing)
    sweep.step()
    assert clean.asked == asked and not sweep.sweeping
    clock.time += SWEEP_EVERY - 1
    sweep.step()
    assert clean.asked == asked         # not before its time


def test_an_orphan_is_not_asked_for_twice(queue, clock, log, clean, pausing):
    """Two requests could remove the next message of that number."""
    queue.write("mess", 1001, b"", NOW - names.OSSIFIED - 1)
    clean.request("foop", 1001, lambda answer: None)
    Sweep(clock, log, clean, pausing).step()
    assert clean.asked == ["foop/1001"]


@pytest.fixture
def todo(clock, log, pool, clean, controls, channels, queue, pausing, injecting, hands):
    return Todo(clock, log, pool, clean, controls, channels, Due(), queue.fd, pausing, injecting, hands, Known())


@pytest.fixture
def injecting():
    """Bounces that qmail-queue has not answered yet."""
    return set()


def arrive(queue, number=1001, envelope=b"Fs@a\0Tj@me.example\0"):
    queue.write("mess", number, b"body\n")
    queue.write("todo", number, envelope)


def test_only_a_plus_makes_the_channels_due(queue, todo, pool, clean, channels, log):
    arrive(queue)
    todo.step(False)
    pool.collect()
    assert clean.asked == ["todo/1001"] and not channels["local"].due and todo.under_way
    os.unlink(queue.path("todo", 1001))
    clean.answer(b"+")
    assert list(channels["local"].due.drain()) == [(NOW, 1001)] and not todo.under_way
    assert log[0] == b"new msg 1001"


@pytest.mark.parametrize("uid, waits", [(os.getuid(), True), (os.getuid() + 1, False)])
def test_a_bounce_is_logged_before_the_message_it_makes(queue, todo, pool, clean, log, injecting, uid, waits):
    """qmail-queue's answer may come after its new message; later bounces do not matter."""
    arrive(queue, envelope=b"u%d\0p7\0F\0Tj@me.example\0" % uid)
    injecting.add("a bounce")
    todo.step(False)
    pool.collect()
    todo.release()
    assert (log == []) == waits
    injecting.add("a later one")
    injecting.discard("a bounce")
    todo.release()
    assert log[0] == b"new msg 1001" and clean.asked == ["todo/1001"]


@pytest.mark.parametrize("answer, lines", [
    (b"!", [b"warning: qmail-clean unable to clean up todo/1001"]), (None, [])])
def test_refused(queue, todo, pool, clean, channels, log, answer, lines):
    arrive(queue)
    todo.step(False)
    pool.collect()
    clean.answer(answer)
    assert log[2:] == lines and not channels["local"].due and not todo.under_way
    assert todo.next_scan == (NOW + 123 if answer else NOW + SCAN_EVERY)


def test_trouble_is_over_without_the_trigger(queue, todo, clock, pool, clean, log):
    """A disk that was full is tried again in two minutes, whether or not somebody sends mail meanwhile."""
    arrive(queue)
    os.rename("info", "away")
    todo.step(False)
    pool.collect()
    assert log[-1].startswith(b"warning: unable to create info/") and todo.next_scan == NOW + 123
    os.rename("away", "info")
    todo.step(False)                    # the end of the first scan
    clock.time = NOW + 123
    todo.step(False)
    pool.collect()
    assert clean.asked == ["todo/1001"]


def test_an_entry_under_way_is_not_handed_out_again(queue, todo, pool, clean, log):
    """Neither while it is busy nor when a later scan still finds its name after it is done."""
    arrive(queue)
    todo.step(False)
    todo.step(True)
    assert pool.active == 1
    pool.collect()
    todo._begin()
    todo._entries = Names(b"1001")      # as if the next scan had read the name before the file went
    os.unlink(queue.path("todo", 1001))
    clean.answer(b"+")
    todo.step(False)
    pool.collect()
    assert log == [b"new msg 1001", b"info msg 1001: bytes 5 from <s@a> qp 0 uid 0"]


class Names:
    """A directory being read."""

    def __init__(self, *names):
        self._names = [SimpleNamespace(name=name) for name in names]

    def __next__(self):
        if not self._names:
            raise StopIteration
        return self._names.pop()

    def close(self):
        pass


def test_scans_begin_when_pulled_or_due(queue, todo, clock, pool, log):
    todo.step(False)
    arrive(queue)
    todo.step(False)
    assert pool.active == 0
    todo.step(True)
    assert pool.active == 1
    pool.collect()
    clock.time += SCAN_EVERY
    arrive(queue, 1002)
    todo.step(False)
    assert pool.active == 1


def test_a_full_todo_goes_in_batches(queue, todo, pool, clean):
    for number in range(1, 101):
        arrive(queue, number)
    handed = []
    while not handed or todo.scanning:
        todo.step(False)
        handed.append(sum(map(todo.busy, range(1, 101))))
        pool.collect()
        while clean._waiting:
            clean.answer(b"+")
    assert sum(handed) == 100 and max(handed) == 16


def test_names_that_are_no_numbers(queue, todo, pool, log):
    for name in ("x", "12x", "007", ".hidden"):
        (queue.root / "todo" / name).write_bytes(b"")
    todo.step(False)
    pool.collect()
    assert log == [b"warning: unable to open todo/7"]
