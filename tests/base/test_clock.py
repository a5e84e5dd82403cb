"""Clocks that are set while we run."""
import pytest

from pyqmail.base.clock import JumpDetector, Unhurried


class Hand:
    """A clock turned by hand."""

    def __init__(self, wall=1_000_000, running=50.0):
        self.wall, self.running = wall, running

    def now(self):
        return int(self.wall)

    def monotonic(self):
        return self.running

    def passes(self, seconds):
        self.wall += seconds
        self.running += seconds


def test_time_passing_is_no_jump():
    clock = Hand()
    jumps = JumpDetector(clock)
    for seconds in (0.4, 3, 86_400):
        clock.passes(seconds)
        assert jumps.jump() == 0


def test_set_back_is_told_once():
    clock = Hand()
    jumps = JumpDetector(clock)
    clock.wall -= 3600
    clock.passes(10)
    assert jumps.jump() == -3600
    assert jumps.jump() == 0


def test_set_forward_is_told_and_setting_back_again():
    clock = Hand()
    jumps = JumpDetector(clock)
    clock.wall += 7200
    assert jumps.jump() == 7200
    clock.wall -= 7200
    assert jumps.jump() == -7200


def test_slow_drift_is_told_when_it_has_become_seconds():
    clock = Hand()
    jumps = JumpDetector(clock)
    told = 0
    for _ in range(100):
        clock.wall -= 1
        told -= jumps.jump()
    assert 94 <= told <= 100


@pytest.mark.parametrize("settings, ahead", [
    ((), 0), ((86_400,), -86_400), ((-86_400,), 0), ((86_400, -86_400), 0), ((-86_400, 86_400), -86_400),
    ((-86_400, 200_000), -200_000), ((3, -3, 3), 0)])
def test_what_is_old_is_not_asked_of_a_clock_that_was_set(settings, ahead):
    """Each setting, then ten seconds that really pass."""
    clock = Hand()
    unhurried = Unhurried(clock)
    for seconds in settings:
        clock.wall += seconds
        unhurried.now()
        clock.passes(10)
    assert -5 <= unhurried.now() - clock.now() - ahead <= 5
