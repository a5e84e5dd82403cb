"""Threads that do what waits for the disk, also where none is to be had."""
import queue
import threading
import time

import pytest

from pyqmail.send import workers


class Full(threading.Thread):
    def start(self):
        raise RuntimeError("can't start new thread")


@pytest.fixture
def pool():
    return workers.Pool(2, workers.Wake())


def collect(pool, count):
    end = time.monotonic() + 60
    while count:
        assert time.monotonic() < end
        count -= pool.collect()
        time.sleep(0.001)


def test_results_and_errors_come_back(pool):
    seen = []
    pool.submit(lambda *ended: seen.append(ended), int, "5")
    pool.submit(lambda *ended: seen.append(ended), int, "x")
    collect(pool, 2)
    assert (5, None) in seen and pool.active == 0
    assert [type(error) for result, error in seen if result is None] == [ValueError]


def test_no_thread_at_all_is_an_error_of_the_work(pool, monkeypatch):
    seen = []
    with monkeypatch.context() as shortage:
        shortage.setattr(workers.threading, "Thread", Full)
        pool.submit(lambda *ended: seen.append(ended), int, "5")
    assert not seen and pool.active == 1 and pool.ready         # told by collect(), like any other
    collect(pool, 1)
    assert seen[0][0] is None and isinstance(seen[0][1], RuntimeError) and pool.active == 0 and pool.free
    pool.submit(lambda *ended: seen.append(ended), int, "6")
    collect(pool, 1)
    assert seen[1] == (6, None)


def test_one_thread_less_only_takes_longer(pool, monkeypatch):
    gate, seen = queue.SimpleQueue(), []
    pool.submit(lambda *ended: seen.append(ended), gate.get)
    with monkeypatch.context() as shortage:
        shortage.setattr(workers.threading, "Thread", Full)
        pool.submit(lambda *ended: seen.append(ended), int, "7")
    assert pool.active == 2 and not pool.ready
    gate.put("open")
    collect(pool, 2)
    assert seen == [("open", None), (7, None)] and pool.active == 0
