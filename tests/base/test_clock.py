"""Clocks that are set while we run."""
from pyqmail.base.clock import JumpDetector


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
        assert jumps.backwards() == 0


def test_set_back_is_told_once():
    clock = Hand()
    jumps = JumpDetector(clock)
    clock.wall -= 3600
    clock.passes(10)
    assert jumps.backwards() == 3600
    assert jumps.backwards() == 0


def test_set_forward_is_not_told_but_setting_back_again_is():
    clock = Hand()
    jumps = JumpDetector(clock)
    clock.wall += 7200
    assert jumps.backwards() == 0
    clock.wall -= 7200
    assert jumps.backwards() == 7200


def test_slow_drift_is_told_when_it_has_become_seconds():
    clock = Hand()
    jumps = JumpDetector(clock)
    told = 0
    for _ in range(100):
        clock.wall -= 1
        told += jumps.backwards()
    assert 94 <= told <= 100
