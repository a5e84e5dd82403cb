"""Births of messages under clocks that are set."""
import os

import pytest

from pyqmail.send.births import Births

NOW, DAY, YEAR = 1_700_000_000, 86_400, 31_557_600


@pytest.mark.parametrize("ahead, corrected", [(-DAY, -DAY), (0, 0), (50_000, 50_000), (DAY, DAY), (DAY + 1, 0),
                                              (68 * YEAR, 0)])
def test_born_in_the_future(queue, clock, ahead, corrected):
    """What is a little ahead is believed, as C qmail-send does; what is far ahead would be stuck."""
    queue.write("info", 1001, b"Fs\0", NOW + ahead)
    assert Births(clock).corrected(1001, NOW + ahead) == NOW + corrected
    assert int(os.stat("info/12/1001").st_mtime) == NOW + corrected


def test_clock_set_forward_makes_nobody_older(queue, clock):
    births = Births(clock)
    queue.write("info", 1001, b"Fs\0", NOW - 100)
    clock.time = NOW + 10 * DAY
    births.jumped(10 * DAY)
    assert births.corrected(1001, NOW - 100) == NOW + 10 * DAY - 100
    assert int(os.stat("info/12/1001").st_mtime) == NOW + 10 * DAY - 100        # the next qmail-send does not know
    assert births.corrected(1001, NOW + 10 * DAY - 100) == NOW + 10 * DAY - 100     # once
    assert births.corrected(1002, NOW + 10 * DAY) == NOW + 10 * DAY                 # came after it; no file: no matter


@pytest.mark.parametrize("back, right", [(10 * DAY, -100), (9 * DAY, DAY - 100), (20 * DAY, -10 * DAY)])
def test_clock_set_back_again(queue, clock, back, right):
    births = Births(clock)
    clock.time = NOW + 10 * DAY
    births.jumped(10 * DAY)
    clock.time = NOW + 10 * DAY - back
    births.jumped(-back)
    assert births.corrected(1001, NOW - 100) == NOW + right


def test_several_jumps(queue, clock):
    """A machine that begins in 1970, is set by hand and then by the network."""
    births = Births(clock)
    for time, seconds in ((NOW - 40, NOW - 100), (NOW + 7200, 7200)):
        clock.time = time
        births.jumped(seconds)
    assert births.corrected(1001, 30) == 30 + NOW - 100 + 7200
    assert births.corrected(1002, NOW - 45) == NOW - 45 + 7200
    assert births.corrected(1003, NOW + 7190) == NOW + 7190
