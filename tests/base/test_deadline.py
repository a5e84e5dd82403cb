import os
import signal

import pytest

from pyqmail.base.deadline import Deadline, Expired


def test_the_signal_ends_the_block():
    with pytest.raises(Expired), Deadline(500):
        os.kill(os.getpid(), signal.SIGALRM)
        pytest.fail("went on")


def test_nothing_remains():
    handler = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        signal.alarm(1000)
        with Deadline(500):
            assert signal.getsignal(signal.SIGALRM) is not signal.SIG_IGN
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
        assert 990 < signal.alarm(0) <= 1000
        with Deadline(500):
            pass
        assert signal.alarm(0) == 0
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
