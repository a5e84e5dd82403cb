import os
import subprocess

import pytest

from pyqmail.base import home, pidfile


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    return tmp_path / "run"


def test_a_process_that_runs():
    pidfile.note("send", os.getpid())
    assert pidfile.running("send") == (os.getpid(), pidfile.start_time(os.getpid()))


def test_one_that_has_ended(place):
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as process:
        pidfile.note("send", process.pid)
        assert pidfile.running("send").pid == process.pid
    assert pidfile.running("send") is None


def test_its_number_in_use_again(place):
    (place / "send.pid").write_text(f"{os.getpid()} 12345\n")
    assert pidfile.running("send") is None


@pytest.mark.parametrize("content", ["", "x y\n", "17\n", "1 2 3\n"])
def test_nonsense(place, content):
    (place / "send.pid").write_text(content)
    assert pidfile.running("send") is None


def test_forget():
    pidfile.note("send", os.getpid())
    pidfile.forget("send")
    pidfile.forget("send")
    assert pidfile.running("send") is None
