"""Which connections stay, for whom and for how long."""
import pytest

from pyqmail.smtp import kept
from pyqmail.smtp.kept import AGE_MAX, IDLE_TIME, QUIT, Kept

A, B = (b"192.0.2.1", 25), (b"192.0.2.2", 25)


class Loop:
    """A loop whose clock is turned by hand."""

    def __init__(self):
        self.now, self.timers = 1000.0, []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        timer = Timer(when, callback)
        self.timers.append(timer)
        return timer

    def call_later(self, delay, callback):
        return self.call_at(self.now + delay, callback)

    def wait(self, seconds):
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.when <= end and not timer.cancelled]:
            first = min(due, key=lambda timer: timer.when)
            self.timers.remove(first)
            self.now = first.when
            first.callback()
        self.now = end


class Timer:
    def __init__(self, when, callback):
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self):
        self.cancelled = True


class Connection:
    def __init__(self, loop):
        self.born, self.left, self.farewell = loop.time(), None, None

    def close(self, farewell=b""):
        self.farewell = farewell


@pytest.fixture
def loop():
    return Loop()


def some(loop, count):
    return [Connection(loop) for _ in range(count)]


def test_a_crowd_is_more_than_one(loop):
    pool = Kept(loop, 10)
    pool.arrive(A, alone=False)
    pool.arrive(B, alone=False)
    assert not pool.crowd(A)
    visit = pool.arrive(A, alone=False)
    assert pool.crowd(A) and pool.stays(A)
    visit.leave()
    assert not pool.crowd(A) and not pool.crowd((b"192.0.2.9", 25))


@pytest.mark.parametrize("alone", [True, False])
def test_nobody_waits_for_room_that_an_idle_connection_takes(loop, alone):
    pool = Kept(loop, 10)
    one, two = some(loop, 2)
    pool.keep(A, one)
    pool.keep(B, two)
    pool.arrive(A, alone=False)
    visit = pool.arrive(A, alone)
    visit.make_room()               # for one that wants to be alone it has been made already
    assert one.farewell == QUIT and two.farewell is None
    assert pool.crowd(A) and not pool.stays(A)
    visit.leave()
    pool.arrive(A, alone=False)
    assert pool.stays(A)


def test_the_one_used_last_is_taken_first_and_only_for_its_server(loop):
    pool = Kept(loop, 10)
    one, two = some(loop, 2)
    pool.keep(A, one)
    pool.keep(A, two)
    assert pool.take(B) is None
    assert [pool.take(A), pool.take(A), pool.take(A)] == [two, one, None] and len(pool) == 0


def test_an_idle_connection_goes(loop):
    pool = Kept(loop, 10)
    one, two = some(loop, 2)
    pool.keep(A, one)
    loop.wait(IDLE_TIME / 2)
    pool.keep(A, two)
    loop.wait(IDLE_TIME / 2)
    assert (one.farewell, two.farewell, len(pool)) == (QUIT, None, 1)
    loop.wait(IDLE_TIME / 2)
    assert (two.farewell, len(pool)) == (QUIT, 0)
    loop.wait(100)
    pool.keep(A, one)
    loop.wait(IDLE_TIME)
    assert len(pool) == 0


def test_the_longest_idle_goes_when_there_are_too_many(loop):
    pool = Kept(loop, 2)
    one, two, three = some(loop, 3)
    for server, connection in ((A, one), (B, two), (A, three)):
        pool.keep(server, connection)
    assert (one.farewell, two.farewell, three.farewell, len(pool)) == (QUIT, None, None, 2)


def test_none_is_kept_for_ever(loop):
    pool = Kept(loop, 10)
    one, = some(loop, 1)
    loop.wait(AGE_MAX - 1)
    pool.keep(A, one)
    assert pool.take(A) is one
    loop.wait(1)
    pool.keep(A, one)
    assert one.farewell == QUIT and pool.take(A) is None


def test_a_server_that_hangs_up_is_forgotten(loop):
    pool = Kept(loop, 10)
    one, = some(loop, 1)
    pool.keep(A, one)
    one.left(one)
    assert one.farewell == b"" and pool.take(A) is None and one.left is None


def test_at_the_end_everybody_hears_a_farewell(loop):
    pool = Kept(loop, 10)
    connections = some(loop, 3)
    for connection in connections:
        pool.keep(A, connection)
    pool.close()
    assert [connection.farewell for connection in connections] == [QUIT] * 3 and len(pool) == 0
    assert kept.QUIT.endswith(b"\r\n") and all(timer.cancelled for timer in loop.timers)
