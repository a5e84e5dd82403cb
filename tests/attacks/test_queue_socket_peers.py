"""Any local user may connect to the queue service: what he sends, or holds back, costs his own submissions only.

(OpenSMTPD CVE-2025-62875: one odd request on a local socket ended the whole daemon.) tests/queue/test_service.py
has the rest: silent clients, rubbish, a user who takes all places, killed workers.
"""
import os
import socket
import struct
import threading
import time

import pytest

from pyqmail.base import accounts, local
from pyqmail.queue import client, insert, names, places, wire
from pyqmail.queue import worker as service

ENVELOPE = b"Fs@a\0Tr@b\0\0"


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A Worker in a queue directory, driven by hand."""
    for name in ("pid", "intd", "todo", "lock", *(f"mess/{part}" for part in range(23))):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(accounts, "private", lambda: None)
    monkeypatch.setattr(accounts, "uid", {role: 70_000 + at for at, (role, _) in enumerate(accounts.ROLES)}.get)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield service.Worker(listener, os.getppid())
    listener.close()


def admitted(worker):
    """The other end of a connection to the service."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    worker.admit(local.Peer(theirs))
    return ours


def until(worker, condition):
    """Let the worker work until something is so."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        worker.turn(worker.poll(0.01))


def call(worker, *packets):
    """What the client gets for these: b"CODE QP", b"" for a connection closed without an answer."""
    others = len(worker.places)
    with admitted(worker) as ours:
        for packet in packets:
            ours.send(packet)
        ours.shutdown(socket.SHUT_WR)
        until(worker, lambda: len(worker.places) == others)
        return ours.recv(64)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def good(worker):
    """Both ways in are open."""
    return (call(worker, wire.whole(b"Subject: x\n\n", ENVELOPE)).startswith(b"0 ")
            and call(worker, wire.PIECES, b"Mx", b"M\n", b"E" + ENVELOPE).startswith(b"0 "))


def files(path):
    return sorted(str(found.relative_to(path)) for found in path.rglob("*") if found.is_file())


@pytest.mark.parametrize("packets, code", [
    ([b"M"], 54), ([b"Mx", b""], 54), ([b"E"], 54), ([b"X"], 54), ([b"Mx", b"X"], 54), ([b"Mx", b"EFs\0", b"Mx"], 54),
    ([b"Mx", b"EFs\0", b"E"], 54), ([b"Mx", b"EX"], 91), ([b"E\0"], 91), ([b"EF" + b"y" * 2000], 11),
    ([b"M" + b"x" * (wire.PACKET + 1)], 54)])
def test_odd_pieces(worker, tmp_path, packets, code):
    ours = admitted(worker)
    for packet in (wire.PIECES, *packets):
        ours.send(packet)
    ours.shutdown(socket.SHUT_WR)
    until(worker, lambda: not worker.places)
    assert wire.receive_answer(ours)[0] == code
    ours.close()
    assert not os.listdir(tmp_path / "todo") and not os.listdir(tmp_path / "pid")
    assert code in insert.LEFT or files(tmp_path) == []
    assert good(worker) and len(os.listdir(tmp_path / "todo")) == 2


def test_who_has_stopped_holds_no_thread_and_two_descriptors(worker, tmp_path):
    """More than there are threads, or are places for strangers: all stop in the middle, and all can go on."""
    worker.roles[os.getuid()] = "qmaild"
    assert good(worker)
    before, many = descriptors(), 300
    stopped = [admitted(worker) for _ in range(many)]
    for sock in stopped:
        sock.send(wire.PIECES)
        sock.send(b"Mhalf")
    until(worker, lambda: len(files(tmp_path / "mess")) == many + 2 and not worker.jobs)
    assert descriptors() - before == many * (1 + places.EACH)       # one is our own end
    assert worker.threads <= service.THREADS
    assert good(worker)
    for sock in stopped[:100]:
        sock.close()
    for sock in stopped[100:]:
        sock.send(b"E" + ENVELOPE)
    until(worker, lambda: not worker.places)
    assert {wire.receive_answer(sock)[0] for sock in stopped[100:]} == {0}
    for sock in stopped:
        sock.close()
    assert descriptors() == before and len(os.listdir("todo")) == 200 + 4 == len(files(tmp_path / "mess"))


@pytest.mark.parametrize("late", ["IDLE", "TOGETHER"])
def test_who_is_late_is_given_up_and_leaves_no_file(worker, tmp_path, monkeypatch, late):
    monkeypatch.setattr(service, late, 0)
    monkeypatch.setattr(service, "ROUND", 0)
    ours = admitted(worker)
    ours.send(wire.PIECES)
    ours.send(b"Mhalf")
    until(worker, lambda: not worker.places)
    assert wire.receive_answer(ours)[0] == insert.TIMEOUT and files(tmp_path) == []
    ours.close()


def test_a_trickle_ends_before_qmail_clean_takes_its_file():
    assert service.TOGETHER < names.OSSIFIED and service.TOGETHER <= names.DEATH


@pytest.mark.parametrize("word", [b"QQ1", wire.PIECES, wire.whole(b"x", ENVELOPE)])
@pytest.mark.parametrize("count", [1, 3, 250])
def test_descriptors_that_are_brought_along_never_become_ours(worker, word, count):
    assert good(worker)                     # the thread is there now, with what it needs
    before = descriptors()
    for _ in range(20):
        with admitted(worker) as ours:
            socket.send_fds(ours, [word], [0] * count)
            until(worker, lambda: not worker.places)
            assert wire.receive_answer(ours) == (wire.LOST, 0)
    assert good(worker) and descriptors() == before


def lingering():
    """A connection that takes an hour to close, for whoever closes it last."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        one, other = socket.create_connection(server.getsockname()), server.accept()[0]
    one.setblocking(False)
    try:
        while True:
            one.send(b"x" * 65_536)
    except BlockingIOError:
        pass
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    return one, other


@pytest.mark.parametrize("before", [(), (wire.PIECES,), (wire.PIECES, b"Mx", b"E" + ENVELOPE)])
def test_a_descriptor_that_takes_an_hour_to_close_holds_nobody_up(worker, before):
    """On Linux before 6.16 they can be sent; nobody but a thread that does nothing else drops them."""
    one, other = lingering()
    ours = admitted(worker)
    for packet in before:
        ours.send(packet)
    socket.send_fds(ours, [b"Mx"], [one.fileno()])
    one.close()
    until(worker, lambda: not worker.waiting and not worker.pieces and not worker.jobs)
    assert len(worker.places) == 1          # it is still his
    other.close()                           # a reset: there is nothing to wait for any more
    until(worker, lambda: not worker.places)
    ours.close()
    assert good(worker)


@pytest.mark.parametrize("send", [lambda sock: None, wire.begin])
def test_who_is_refused_with_such_descriptors_leaves_no_thread(worker, send):
    """Nothing would bound them: who has no place is cut off."""
    before, threads, others = descriptors(), threading.active_count(), []
    for _ in range(20):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        send(ours)
        for _ in range(3):
            one, other = lingering()
            socket.send_fds(ours, [b"x"], [one.fileno()])
            one.close()
            others.append(other)
        worker.refuse(local.Peer(theirs))
        assert wire.receive_answer(ours) == (service.FULL, 0)
        ours.close()
    assert threading.active_count() == threads
    for other in others:
        other.close()
    assert descriptors() == before and good(worker)


def test_descriptors_cannot_be_sent_where_the_kernel_knows_how_to_forbid_it(tmp_path):
    listener = local.listen((f"{tmp_path}/socket.new", None), 5)
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.connect(f"{tmp_path}/socket")
    theirs = listener.accept()[0]
    if not local.may_bring_descriptors(theirs):
        with pytest.raises(PermissionError):
            socket.send_fds(ours, [b"x"], [0])
    peer = local.Peer(theirs)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())
    for sock in (listener, ours, peer):
        sock.close()


def test_many_odd_submissions_leave_nothing_open(worker, tmp_path):
    assert good(worker)
    before = descriptors()
    for number in range(50):
        odd = [b"", b"F", b"X\0", b"F" + b"y" * 2000, b"Fs\0T" + b"y" * 2000][number % 5]
        for packets in ([wire.whole(b"m", odd)], [wire.PIECES, b"Mm", b"E" + odd]):
            assert call(worker, *packets).partition(b" ")[0] in (b"11", b"54", b"91")
    assert good(worker) and descriptors() == before and len(os.listdir(tmp_path / "todo")) == 4


def test_strangers_together_leave_the_network_its_places():
    qmaild, qmails = 1, 2
    found = places.Places({qmaild: "qmaild", qmails: "qmails"}, False)
    taken = [uid for uid in range(10, 30) for _ in range(1000) if found.take(uid)]
    assert len(taken) == places.STRANGERS and max(map(taken.count, taken)) == places.PER_STRANGER
    assert not found.take(99) and found.take(qmaild) and found.take(qmails)
    while found.take(qmaild):
        pass
    assert len(found) == places.STRANGERS + places.PER_USER["qmaild"] + 1
    assert not found.take(qmaild) and found.take(qmails)
    found.give_back(10)
    assert found.take(99) and not found.take(98)
    for uid in (99, *taken[1:], qmails, qmails, *[qmaild] * places.PER_USER["qmaild"]):
        found.give_back(uid)
    assert len(found) == 0 and found.take(99)


@pytest.mark.parametrize("descriptors, network", [(places.DESCRIPTORS, 20_000), (20_000, 9300), (1024, places.FEW)])
def test_where_descriptors_are_short_the_network_has_fewer_places(descriptors, network):
    found = places.Places({1: "qmaild"}, False, descriptors)
    assert sum(found.take(1) for _ in range(25_000)) == network


def test_who_is_refused_hears_why_even_if_he_was_about_to_ask(worker):
    """Else a temporary refusal would look like a service that broke."""
    for send in (wire.begin, lambda sock: sock.send(b"")):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker.refuse(local.Peer(theirs))
        try:
            send(ours)
        except OSError:
            pass
        assert wire.receive_answer(ours) == (service.FULL, 0)
        assert wire.receive_answer(ours) == (wire.LOST, 0)
        ours.close()


def test_no_thread_to_be_had(worker, monkeypatch, capfd):
    """The loop does it, which waits for no client either."""
    class Full(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")
    with monkeypatch.context() as shortage:
        shortage.setattr(service.threading, "Thread", Full)
        assert call(worker, wire.PIECES, b"Mx", b"E" + ENVELOPE).startswith(b"0 ")
        assert worker.threads == worker.jobs == 0
    assert "unable to start a thread" in capfd.readouterr().err
    assert good(worker)


def test_a_thread_that_is_not_to_be_had_costs_those_at_work_nothing(worker, monkeypatch):
    assert good(worker) and worker.threads == 1
    class Full(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")
    monkeypatch.setattr(service.threading, "Thread", Full)
    worker.jobs += 1                        # it has something to do
    assert call(worker, wire.PIECES, b"Mx", b"E" + ENVELOPE).startswith(b"0 ")
    assert (worker.threads, worker.jobs) == (1, 1)


def test_the_answer_to_a_message_that_was_broken_off(worker, monkeypatch):
    """client.Submission.fail(): the service hears of it at once, and leaves nothing."""
    ours = admitted(worker)
    monkeypatch.setattr(client.wire, "connect", lambda: ours)
    monkeypatch.setattr(client.home, "ours", lambda name: True)
    serving = threading.Thread(target=until, args=(worker, lambda: not worker.places))
    submission = client.Submission({})
    serving.start()
    submission.put(b"x" * 100_000)
    submission.put(b"y" * 1000)
    submission.fail()
    assert submission.finish(b"s", [b"r"]) == client.READ_ERROR
    serving.join(60)
    assert files_of_the_queue() == []


def files_of_the_queue():
    return [name for part in range(names.SPLIT) for name in os.listdir(f"mess/{part}")] + os.listdir("intd")
