"""Messages that qmail-send or a spawner dies of: noticed, tried alone, set aside, and tried again on request."""
import os
from types import SimpleNamespace

import pytest

from pyqmail.queue import names, suspects
from pyqmail.send import hands as module
from pyqmail.send.channel import Channel
from pyqmail.send.deliveries import Deliveries
from pyqmail.send.finish import Finisher
from pyqmail.send.hands import SPACING, Hands
from pyqmail.send.known import Known
from pyqmail.send.restart import Entry
from pyqmail.send.scheduler import Due
from pyqmail.send.todo import Todo


@pytest.fixture
def start(tmp_path, queue, log):
    """start(): the next qmail-send's Hands; who had them before is dead."""
    directory = tmp_path / "run"
    directory.mkdir()
    for number in (1001, 1002, 1003):
        queue.write("mess", number, b"x", 1_700_000_000 + number)
    return lambda: Hands(log, str(directory))


DEAD = []                           # what they had in hand is never laid down


def die_with(hands, stage, *numbers):
    """As a killed process leaves it: what was in hand stays in hand."""
    for number in numbers:
        if stage == "loop":
            hands.loop(number)
        else:
            DEAD.append(hands.during(stage, number))
            DEAD[-1].__enter__()


def test_nobody_is_suspect_after_a_clean_end(start, log):
    hands = start()
    with hands.during("todo", 1001):
        pass
    hands.loop(1002)
    hands.loop(0)
    hands = start()
    assert not hands.aside and not hands.alone and not hands.later() and log == []


@pytest.mark.parametrize("stage", ["loop", "todo", "bounce"])
def test_three_deaths_in_a_row_set_a_message_aside(start, log, stage):
    for deaths in range(3):
        hands = start()
        assert not hands.aside
        assert (hands.alone if stage == "todo" else list(hands.later())) == [1001] * (deaths > (stage != "todo"))
        die_with(hands, stage, 1001)
    hands = start()
    assert hands.aside == {1001: stage} and not hands.alone and not hands.later()
    assert log == [b"warning: msg 1001 was in hand when qmail-send died, 2 of 3 times",
                   b"alert: msg 1001 is set aside: it was in hand when qmail-send died, 3 times; "
                   b"qmailctl release 1001 has it tried again"]
    assert start().aside == {1001: stage} and len(log) == 2


def test_who_passes_is_no_suspect_any_more(start):
    for _ in range(2):
        hands = start()
        die_with(hands, "todo", 1001)
    hands = start()
    hands.passed("todo", 1001)
    die_with(hands, "todo", 1001)
    hands = start()
    assert hands.alone == [1001] and not hands.aside


def test_only_one_of_the_suspects_can_have_done_it_again(start):
    die_with(start(), "todo", 1001, 1002)
    hands = start()
    assert sorted(hands.alone) == [1001, 1002]
    die_with(hands, "todo", 1002, 1003)
    start()
    assert suspects.File(f"/proc/self/fd/{hands._file.fd}").read() == {
        ("todo", 1001): (mtime(1001), 1), ("todo", 1002): (mtime(1002), 2)}


def mtime(number):
    return os.stat(names.split("mess", number)).st_mtime_ns


def test_suspects_of_a_spawner_take_turns(start):
    hands = start()
    hands.blame({"remote": {1001, 1002, 1003, 1004}})
    assert not hands.later()                        # of one death anybody may be guilty, and nobody need be
    hands.blame({"remote": {1001, 1002, 1003}})
    assert hands.later() == {1001: 0, 1002: SPACING, 1003: 2 * SPACING}
    hands.blame({"remote": {1003}})
    assert hands.aside == {1003: "remote"} and 1003 not in hands.later()


def test_a_number_that_came_again_is_another_message(start, queue):
    for _ in range(3):
        die_with(start(), "todo", 1001)
    assert start().aside
    queue.write("mess", 1001, b"new", 1_800_000_000)
    assert not start().aside


def test_after_a_reboot_nobody_died_of_it(start, monkeypatch):
    die_with(start(), "todo", 1001)
    monkeypatch.setattr(module, "boot_id", lambda: b"another boot id.")
    assert not start().alone


def test_released(start):
    for _ in range(3):
        die_with(start(), "todo", 1001)
    hands = start()
    file = suspects.File(f"/proc/self/fd/{hands._file.fd}")
    file.change(lambda entries: {})
    assert hands.aside and hands.read_again() == [1001] and not hands.aside


def test_without_its_directory_mail_flows(log, tmp_path, queue):
    queue.write("mess", 1001, b"x")
    hands = Hands(log, str(tmp_path / "missing"))
    with hands.during("todo", 1001):
        hands.loop(1001)
    hands.passed("todo", 1001)
    hands.blame({"remote": {1001}})
    assert not hands.aside and b"will not be noticed" in log[0]


@pytest.mark.parametrize("line", [b"todo 1001", b"todo x 1 1", b"todo 1001 1 -1", b"", b"todo 1001 1 1 1",
                                  b"todo 1001 1 " + b"9" * 5000, b"tod\xf6 1001 1 3"])
def test_lines_that_are_none(start, tmp_path, line):
    (tmp_path / "run/suspects").write_bytes(line + b"\nloop 1002 %d 3\n" % mtime(1002))
    assert start().aside == {1002: "loop"}


# ---------------------------------------------------------------- what qmail-send does about it

def test_suspects_are_preprocessed_alone_and_first(start, queue, clock, log, pool, controls):
    for number in (1001, 1002, 1003):
        queue.write("todo", number, b"u0\0p1\0Fs\0")
    die_with(start(), "todo", 1001, 1002)
    asked = []
    cleaner = SimpleNamespace(request=lambda kind, number, answered: asked.append((number, answered)))
    channels = {name: Channel(name, -1, -1, 10) for name in ("local", "remote")}
    todo = Todo(clock, log, pool, cleaner, controls, channels, Due(), queue.fd, None, set(), start(), Known())
    for expected in (1001, 1002):
        for _ in range(3):
            todo.step(True)
            pool.collect()
            assert todo.waiting and not todo.wants_turn
        [(number, answered)] = asked
        assert number == expected
        asked.clear()
        answered(b"+")
    todo.step(False)
    pool.collect()
    assert 1003 in {number for number, _ in asked}


def test_what_is_set_aside_is_not_touched(start, queue, clock, log, pool, controls, pausing):
    queue.write("todo", 1001, b"u0\0p1\0Fs\0")
    queue.write("info", 1002, b"Fs\0")
    queue.write("local", 1002, b"Tr\0", 0)
    for _ in range(3):
        hands = start()
        die_with(hands, "todo", 1001)
        hands.blame({"local": {1002}})
    hands = start()
    assert hands.aside == {1001: "todo", 1002: "local"}
    channels = {name: Channel(name, -1, -1, 10) for name in ("local", "remote")}
    todo = Todo(clock, log, pool, None, controls, channels, Due(), queue.fd, pausing, set(), hands, Known())
    todo.step(True)
    assert not todo.under_way
    entry = Entry(clock, log, channels, Due(), pausing, hands, 604_800)
    entry.everything()
    assert not channels["local"].due
    suspects.File(f"/proc/self/fd/{hands._file.fd}").change(lambda entries: {})
    assert hands.read_again() == [1001, 1002]
    assert list(channels["local"].due.drain()) == [(0, 1002)]
    clock.time += 1
    todo.scan_again()
    todo.step(False)
    assert todo.under_way


def test_suspects_are_entered_later(start, queue, clock, log, pausing):
    for number in (1001, 1002, 1003):
        queue.write("info", number, b"Fs\0")
        queue.write("remote", number, b"Tr\0", 0)
    for _ in range(2):
        start().blame({"remote": {1002, 1003}})
    channels = {name: Channel(name, -1, -1, 10) for name in ("local", "remote")}
    entry = Entry(clock, log, channels, Due(), pausing, start(), 604_800)
    entry.everything()
    assert [number for _, number in channels["remote"].due.drain()] == [1001]
    assert list(entry.failed.drain()) == [(clock.time, 1002), (clock.time + SPACING, 1003)]


# ---------------------------------------------------------------- held

@pytest.fixture
def held(start, queue, clock, log, pool, controls, pausing):
    """A message with two recipients, due, and the parts of qmail-send that come across it. .hold(), .release():
    as qmailctl does; .stage(): what the file says."""
    queue.write("info", 1001, b"Fs\0")
    queue.write("local", 1001, b"Ta\0Tb\0", 0)
    hands, done = start(), Due()
    channels = {name: Channel(name, -1, -1, 10) for name in ("local", "remote")}
    deliveries = Deliveries(clock, log, controls, channels, done, pool, lambda: False, pausing, hands, Known())
    file = suspects.File(f"/proc/self/fd/{hands._file.fd}")
    mark = suspects.mark(1001)
    found = SimpleNamespace(
        hands=hands, local=channels["local"], done=done, deliveries=deliveries, mark=mark,
        entry=Entry(clock, log, channels, done, pausing, hands, 604_800), change=file.change,
        stage=lambda: {stage for stage, number in file.read() if number == 1001},
        finisher=Finisher(clock, log, pool, SimpleNamespace(crowded=False, request=lambda *words: None), controls, done,
                          queue.fd, hands, Known()))

    def hold():
        file.change(lambda entries: entries | {(suspects.HOLD, 1001): (mark, suspects.TRIES)})
        assert hands.read_again() == []

    def release():
        file.change(lambda entries: {})
        assert hands.read_again() == [1001]
    found.hold, found.release = hold, release
    return found


def test_held_before_its_time(held):
    """Nobody touches it from the moment it is held; released it is due once, at once."""
    held.entry.everything()
    held.hold()
    held.hands.let_go(held.deliveries.busy)
    assert held.stage() == {suspects.HELD}
    while held.deliveries.step(held.local):
        pass
    assert not held.local.used and not held.local.due
    held.release()
    assert held.deliveries.step(held.local) and held.local.reading.job.number == 1001 and not held.local.due


def test_held_during_a_pass(held, clock):
    """What runs ends, nothing new begins, and only then we let go."""
    held.entry.everything()
    held.deliveries.step(held.local)
    held.hold()
    while held.deliveries.step(held.local):
        pass
    held.hands.let_go(held.deliveries.busy)
    assert held.local.used == 1 and held.stage() == {suspects.HOLD}
    held.deliveries._report(held.local, 0, b"Kgood\n")
    held.hands.let_go(held.deliveries.busy)
    assert held.stage() == {suspects.HELD} and held.local.due.first() > clock.time
    held.local.due.hasten({1001}, clock.time)
    assert held.local.due.first() == clock.time


def test_held_when_it_is_finished(held, queue):
    """A message whose last delivery ended while it is held does not end before its release."""
    os.unlink(queue.path("local", 1001))
    held.hold()
    held.entry.everything()
    held.finisher.step()
    assert queue.read("info", 1001)
    held.release()
    assert held.finisher.step() and not queue.read("info", 1001)


def test_a_hold_ends_with_its_message(held):
    """Its bounce was on its way when it was to be held: the next message of that number is not held."""
    held.hold()
    held.hands.ended(1001)
    assert held.stage() == set() and not held.hands.aside


def test_a_hold_is_for_one_message(held, queue):
    queue.write("mess", 1001, b"another", 1_800_000_000)
    held.hold()
    assert held.stage() == set() and not held.hands.aside


def test_what_is_set_aside_takes_no_turn(start):
    for _ in range(3):
        start().blame({"local": {1001}})
    for _ in range(2):
        start().blame({"remote": {1002, 1003}})
    assert start().later() == {1002: 0, 1003: SPACING}
