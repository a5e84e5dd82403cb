"""Any local user may connect to the queue service: what he sends, or holds back, costs his own submissions only.

(OpenSMTPD CVE-2025-62875: one odd request on a local socket ended the whole daemon.) tests/queue/test_service.py
has the rest: silent clients, rubbish, a user who takes all places, killed workers.
"""
import os
import socket
import threading
import time

import pytest

from pyqmail.base import accounts
from pyqmail.queue import wire
from pyqmail.queue import worker as service


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A Worker in a queue directory, driven by hand: call(fds, packet) is one client's submission."""
    for name in ("pid", "intd", "todo", "lock", *(f"mess/{part}" for part in range(23))):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(accounts, "private", lambda: None)
    monkeypatch.setattr(accounts, "uid", {role: 70_000 + at for at, (role, _) in enumerate(accounts.ROLES)}.get)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield service.Worker(listener, os.getppid())
    listener.close()


def call(worker, fds, packet=wire.REQUEST):
    """What the client gets: b"CODE QP", b"" for a connection closed without an answer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.settimeout(30)
        ours.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"".join(
            fd.to_bytes(4, "little") for fd in fds))] if fds else [])
        worker.admit(theirs)
        worker.turn([theirs.fileno()])
        answer = ours.recv(64)
        end = time.monotonic() + 30
        while worker.active:                # until its thread has let go of everything
            assert time.monotonic() < end
            time.sleep(0.001)
        return answer


def pipe_with(data):
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def good(worker):
    fds = pipe_with(b"Subject: x\n\n"), pipe_with(b"Fs@a\0Tr@b\0\0")
    try:
        return call(worker, fds).startswith(b"0 ")
    finally:
        for fd in fds:
            os.close(fd)


def odd_descriptors(tmp_path):
    """{what: two functions that open message and envelope}"""
    envelope = lambda: pipe_with(b"Fs\0Tr\0\0")
    return {
        "a directory": (lambda: os.open("/", os.O_RDONLY), envelope),
        "only a path": (lambda: os.open("/etc/passwd", os.O_PATH), envelope),
        "not for reading": (lambda: os.open(tmp_path / "w", os.O_WRONLY | os.O_CREAT), envelope),
        "the queue's own directory": (envelope, lambda: os.open(tmp_path, os.O_RDONLY)),
        "epoll": (lambda: os.memfd_create("m"), lambda: os.eventfd(0, os.EFD_NONBLOCK)),
        "a listening socket": (lambda: socket.create_server(("127.0.0.1", 0)).detach(), envelope),
        "not blocking": (lambda: os.pipe2(os.O_NONBLOCK)[0], envelope),
    }


@pytest.mark.parametrize("what", sorted(odd_descriptors("")))
def test_odd_descriptors(worker, tmp_path, monkeypatch, what):
    monkeypatch.setattr(service, "IDLE", 0.05)
    opened = [open_one() for open_one in odd_descriptors(tmp_path)[what]]
    answer = call(worker, opened)
    assert answer.partition(b" ")[0] in (b"52", b"54", b"91"), answer
    assert not os.listdir(tmp_path / "todo") and not os.listdir(tmp_path / "pid")
    for fd in opened:
        os.close(fd)
    assert good(worker) and len(os.listdir(tmp_path / "todo")) == 1


@pytest.mark.parametrize("count", [1, 3, 8, 50, 250])
def test_descriptors_that_nobody_asked_for_are_closed(worker, count):
    assert good(worker)                     # the thread is there now, with what it needs
    before = descriptors()
    for _ in range(20):
        assert call(worker, [0] * count) == b""
    assert good(worker) and descriptors() == before


def test_many_odd_submissions_leave_nothing_open(worker, tmp_path):
    assert good(worker)
    before = descriptors()
    for number in range(50):
        fds = [pipe_with(b"m"), pipe_with([b"", b"F", b"X\0", b"F" + b"y" * 2000, b"Fs\0T" + b"y" * 2000][number % 5])]
        assert call(worker, fds).partition(b" ")[0] in (b"11", b"54", b"91")
        for fd in fds:
            os.close(fd)
    assert good(worker) and descriptors() == before and len(os.listdir(tmp_path / "todo")) == 2


def test_strangers_together_leave_the_network_its_places(worker):
    qmaild, qmails = accounts.uid("qmaild"), accounts.uid("qmails")
    for stranger in range(1, 4):
        worker.active[stranger] = service.PER_STRANGER
        assert not worker.room(stranger)
    assert not worker.room(99)                          # the strangers' places are used up
    assert worker.room(qmaild) and worker.room(qmails)
    worker.active[qmaild] = service.PER_USER["qmaild"]
    assert not worker.room(qmaild) and worker.room(qmails)
    worker.active = {qmaild: service.PER_USER["qmaild"]}
    assert worker.room(99)                              # and the other way round


def test_who_is_refused_hears_why_even_if_he_was_about_to_ask(worker):
    """Else a temporary refusal would look like a service that broke."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker.refuse(theirs, "full")
    wire.send_request(ours, 0, 0)
    assert wire.receive_answer(ours) == (service.FULL, 0)
    assert wire.receive_answer(ours) == (wire.LOST, 0)
    ours.close()


def test_no_thread_to_be_had(worker, monkeypatch, capfd):
    class Full(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")
    with monkeypatch.context() as shortage:
        shortage.setattr(service.threading, "Thread", Full)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wire.send_request(ours, 0, 0)
        worker.admit(theirs)
        worker.turn([theirs.fileno()])
        assert wire.receive_answer(ours) == (service.FULL, 0) and worker.active == {}
        ours.close()
    assert "unable to start a thread" in capfd.readouterr().err
    assert good(worker)
