import collections
import os

from pyqmail.base import sig
from pyqmail.install import services

Process = collections.namedtuple("Process", "pid")


def test_a_service_that_ended_just_now_was_not_running(monkeypatch):
    """Between the look at run/NAME.pid and the signal."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    monkeypatch.setattr(services, "running", lambda name: Process(pid))
    assert services.signal("send", sig.TERM) is False
