"""lock/trigger under a flood: whoever may write to it wakes qmail-send as often as he likes, and stops nothing."""
import os
import threading

import pytest


@pytest.fixture
def sending(harness, tmp_path):
    module = harness("send/test_qmail_send_process.py")
    return module.Home(tmp_path), module.Running


def flood(path, over, keep):
    """Write to the trigger until told to stop; `keep`: one descriptor for all, or a new one each time."""
    fd = -1
    while not over.is_set():
        try:
            if fd < 0:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"\0" * 4096)
        except OSError:
            pass                    # nobody listens just now, or the pipe is full
        if not keep and fd >= 0:
            os.close(fd)
            fd = -1
    if fd >= 0:
        os.close(fd)


@pytest.mark.parametrize("keep", [True, False])
def test_deliveries_go_on(sending, keep):
    home, running = sending
    over = threading.Event()
    flooding = threading.Thread(target=flood, args=(home.queue / "lock/trigger", over, keep))
    process = running(home, lambda channel, recipient: b"Kok\n")
    flooding.start()
    try:
        for count in range(1, 6):
            home.arrive(b"s@a", [b"joe@me.example", b"x@far.example"])
            process.wait_log(b"end msg", count)
    finally:
        over.set()
        flooding.join()
        assert process.end() == 0
    assert home.files() == [] and process.log.count(b": success: ") == 10


def test_one_who_holds_it_open_silences_nobody(sending):
    home, running = sending
    process = running(home, lambda channel, recipient: b"Kok\n")
    process.wait_log(b"status: ")
    holder = os.open(home.queue / "lock/trigger", os.O_WRONLY)
    try:
        for count in range(1, 4):
            home.arrive(b"s@a", [b"joe@me.example"])
            home.pull()
            process.wait_log(b"end msg", count)
    finally:
        os.close(holder)
        assert process.end() == 0
