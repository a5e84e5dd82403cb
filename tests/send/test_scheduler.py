"""When messages are tried again: the whole of both tables, from a recording with a turned clock."""
import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.send.scheduler import Due, next_attempt

WEEK = 604_800
#  age of the attempt, next local at age, next remote at age
FROM_ANY_AGE = [
    (0, 100, 400), (1, 121, 441), (3, 121, 441), (56, 289, 729), (110, 400, 900), (420, 900, 1600), (930, 1600, 2500),
    (2970, 4096, 5476), (10100, 12100, 14400), (49952, 54289, 59049), (86730, 92416, 98596), (299756, 310249, 321489),
    (599850, 614656, 630436), (-500, 100, 400),
]


@pytest.mark.parametrize("age, local, remote", FROM_ANY_AGE)
def test_next_attempt(age, local, remote):
    birth = 1_700_000_000
    assert next_attempt(birth, birth + age, "local") - birth == local
    assert next_attempt(birth, birth + age, "remote") - birth == remote


@pytest.mark.parametrize("channel, step, attempts", [("local", 10, 79), ("remote", 20, 40)])
def test_every_attempt_of_a_message_that_is_always_deferred(channel, step, attempts):
    """Attempts at ages (10 i)² and (20 i)²; the first one beyond a week, 608400, is the last of both."""
    ages, age = [], 0
    while not ages or ages[-1] <= WEEK:
        ages.append(age)
        age = next_attempt(0, age, channel)
    assert ages == [(step * i) ** 2 for i in range(attempts)]
    assert ages[-1] == 608_400


def test_a_second_of_slack_changes_nothing():
    assert next_attempt(0, 401, "local") == next_attempt(0, 400, "local") == 900


def test_due_gives_the_earliest_and_of_equals_the_first_added():
    due = Due()
    for when, number in [(30, 1), (10, 2), (20, 9), (20, 3)]:
        due.add(when, number)
    assert due.first() == 10
    assert [due.take(25) for _ in range(5)] == [2, 9, 3, None, None]
    assert len(due) == 1


def test_nothing_due():
    assert Due().first() is None
    assert Due().take(10) is None


def test_all_due_keeps_the_order():
    due = Due()
    for when, number in [(300, 1), (100, 2), (200, 3)]:
        due.add(when, number)
    due.all_due(50)
    due.add(50, 4)
    assert list(due.drain()) == [(50, 2), (50, 3), (50, 1), (50, 4)]


def test_move():
    due = Due()
    due.add(3600, 1)
    due.add(7200, 2)
    due.add(100_000, 3)
    due.move(3600, now=10, latest=90_000)
    assert list(due.drain()) == [(0, 1), (10, 3), (3600, 2)]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 1000))), st.integers(0, 50))
def test_due_is_a_stable_sort(entries, now):
    due = Due()
    for entry in entries:
        due.add(*entry)
    expected = [number for when, number in sorted(entries, key=lambda entry: entry[0]) if when <= now]
    taken = []
    while (number := due.take(now)) is not None:
        taken.append(number)
    assert taken == expected
    assert len(due) == len(entries) - len(taken)
