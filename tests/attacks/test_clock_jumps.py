"""The wall clock jumps: set by hand, by a leap second, after a dead battery. Mail neither waits for ever nor is
given up.

Time is a parameter: no test waits.
"""
import pathlib
import re
from types import SimpleNamespace

import pytest

import pyqmail
from pyqmail.base.clock import JumpDetector
from pyqmail.programs.qmail_send import Sender
from pyqmail.send.births import Births
from pyqmail.send.scheduler import Due, next_attempt
from pyqmail.smtp import tcpto

NOW = 1_795_338_307
YEAR = 31_557_600


class TwoClocks:
    """Wall and monotonic clock, each turned by hand."""

    def __init__(self):
        self.wall, self.steady = NOW, 5000.0

    def now(self):
        return self.wall

    def monotonic(self):
        return self.steady

    def pass_(self, seconds):
        self.wall += seconds
        self.steady += seconds


class Scan:
    """Todo or Sweep as far as the clock is concerned."""

    def __init__(self, at):
        self.at = at

    def clock_set_back(self, seconds):
        self.at -= seconds


@pytest.fixture
def sender():
    """A qmail-send of which only what keeps times is there."""
    clock = TwoClocks()
    found = SimpleNamespace(clock=clock, jumps=JumpDetector(clock), done=Due(), entry=SimpleNamespace(failed=Due()),
                            controls=SimpleNamespace(lifetime=604_800), deliveries=SimpleNamespace(births=Births(clock)),
                            channels={"local": SimpleNamespace(due=Due()), "remote": SimpleNamespace(due=Due())},
                            todo=Scan(NOW + 1500), sweep=Scan(NOW + 76_431))
    found.channels["local"].due.add(NOW + 400, 1)
    found.channels["remote"].due.add(NOW + 1600, 2)
    found.done.add(NOW + 60, 3)
    found.entry.failed.add(NOW + 123, 4)
    return found


def waits(sender):
    """{message: seconds until it is due}"""
    now = sender.clock.now()
    dues = (sender.done, sender.entry.failed, *(one.due for one in sender.channels.values()))
    return {number: due - now for one in dues for due, _, number in one._heap}


@pytest.mark.parametrize("back", [10, 3600, YEAR, NOW - 1])
def test_set_back_nothing_waits_longer(sender, back):
    sender.clock.pass_(30)
    sender.clock.wall -= back
    Sender.take_clock(sender)
    assert waits(sender) == {1: 370, 2: 1570, 3: 30, 4: 93}
    assert sender.todo.at - sender.clock.now() == 1470 and sender.sweep.at - sender.clock.now() == 76_401
    Sender.take_clock(sender)                                       # told once
    assert waits(sender)[1] == 370


def test_what_was_deferred_under_a_clock_far_ahead_is_due_when_it_is_set_right(sender):
    """68 years of age make the next attempt one in ten days."""
    sender.clock.wall += 68 * YEAR
    Sender.take_clock(sender)
    sender.channels["local"].due.add(next_attempt(NOW, sender.clock.wall, "local"), 5)
    sender.channels["local"].due.add(sender.clock.wall + 3000, 6)
    sender.clock.wall -= 68 * YEAR
    Sender.take_clock(sender)
    assert waits(sender)[5] == 0 and waits(sender)[6] == 3000
    assert sender.channels["local"].due.take(sender.clock.now()) == 1       # 68 years late
    assert sender.channels["local"].due.take(sender.clock.now()) == 5


@pytest.mark.parametrize("forward", [10, 3600, YEAR])
def test_set_forward_everything_is_due_the_earlier(sender, forward):
    sender.clock.wall += forward
    Sender.take_clock(sender)
    assert waits(sender) == {1: 400 - forward, 2: 1600 - forward, 3: 60 - forward, 4: 123 - forward}


def test_a_leap_second_is_no_jump(sender):
    sender.clock.wall -= 1
    Sender.take_clock(sender)
    assert waits(sender)[1] == 401


@pytest.mark.parametrize("channel, skip", [("local", 10), ("remote", 20)])
def test_a_message_from_the_future_is_tried_soon_after_its_birth(channel, skip):
    """The file's time lies ahead: its age counts as nothing, not as a negative number under a root."""
    assert next_attempt(NOW + YEAR, NOW, channel) == NOW + YEAR + skip ** 2
    assert next_attempt(0, NOW, channel) > NOW


def test_a_host_that_timed_out_in_the_future_is_not_avoided_for_ever():
    host = b"192.0.2.1"
    records = [tcpto.Record(host, 5, NOW + YEAR)]
    assert tcpto.to_skip(records, host, NOW, 0) == (False, True)
    assert tcpto.after_timeout(records, host, NOW) == (0, tcpto.Record(host, 6, NOW))      # and counts from now on
    records = [tcpto.Record(host, 5, NOW)]
    assert tcpto.to_skip(records, host, NOW, 0) == (True, True)


@pytest.mark.parametrize("package", ["send", "spawn", "users"])
def test_those_who_wait_long_have_a_clock_handed_to_them(package):
    """So that there is one place that decides between the steady clock and the wall clock."""
    for path in pathlib.Path(pyqmail.__file__).parent.joinpath(package).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\btime\.(time|monotonic|sleep)|^import time|from time ", text, re.MULTILINE), path
