"""The front of the recipient check, without root and without a listening socket: what it orders, remembers, bounds."""
import os
import socket

import pytest

from pyqmail.base import home
from pyqmail.rcptcheck import front as module
from pyqmail.rcptcheck import wire


class Loop:
    def __init__(self):
        self.readers = {}

    def watch(self, fd, callback):
        self.readers[fd] = callback

    def forget(self, fd):
        self.readers.pop(fd, None)


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


class Fixture:
    """`orders`: what the root part was asked, not yet answered."""

    def __init__(self, path):
        self.loop, self.clock = Loop(), Clock()
        self.root, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.root.setblocking(False)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(f"{path}/socket")
        self.listener.listen(1000)
        self.listener.setblocking(False)
        self.path, self.clients, self.number = path, [], 0
        self.front = module.Front(self.loop, self.listener, theirs, {os.getuid()}, self.clock)

    def client(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(f"{self.path}/socket")
        sock.setblocking(False)
        self.clients.append(sock)
        before = set(self.loop.readers)
        self.front._accept()
        return sock, next(iter(set(self.loop.readers) - before), None)

    def ask(self, *addresses, size=0, client=None):
        """A client that has asked: a function that gives its answers, None if there are none yet."""
        sock, fd = client or self.client()
        self.number += 1
        number = self.number
        sock.send(wire.question(number, size, addresses))
        self.loop.readers[fd]()

        def answers():
            try:
                found = wire.read_answer(sock.recv(100_000))
            except BlockingIOError:
                return None
            assert found[0] == number
            return found[1]
        return answers

    def orders(self):
        found = []
        while True:
            try:
                found.append(wire.read_order(self.root.recv(10_000)))
            except BlockingIOError:
                return found

    def tell(self, order, answer):
        self.root.send(wire.answer(order[0], [answer]))
        self.front._verdict()


@pytest.fixture
def front(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    for name, text in {"me": "me.test\n", "locals": "here.test\n", "virtualdomains": "v.test:vee\n"}.items():
        (tmp_path / "control" / name).write_text(text)
    made = Fixture(tmp_path)
    yield made
    for sock in (made.root, made.listener, *made.clients):
        sock.close()


@pytest.mark.parametrize("address, order", [
    (b"joe@here.test", (b"joe", b"here.test")), (b"Joe@HERE.test", (b"Joe", b"HERE.test")),
    (b"x@v.test", (b"vee-x", b"v.test")), (b"a@b@here.test", (b"a@b", b"here.test")), (b"joe@far.test", None),
    (b"joe", None), (b"@here.test", None), (b"", None)])
def test_where_mail_goes(front, address, order):
    answers = front.ask(address)
    assert [found[2:] for found in front.orders()] == ([] if order is None else [order])
    assert answers() == ([b"K"] if order is None else None)


def test_control_files_are_read_when_they_change(front, tmp_path):
    assert front.ask(b"joe@new.test")() == [b"K"]
    (tmp_path / "control" / "locals").write_text("new.test\nhere.test\n")
    front.ask(b"joe@new.test")
    assert len(front.orders()) == 1
    (tmp_path / "control" / "locals").unlink()
    (tmp_path / "control" / "me").unlink()
    assert front.ask(b"joe@new.test")() == [b"Z"]


def test_answers_in_the_order_of_the_addresses(front):
    answers = front.ask(b"joe@here.test", b"x@far.test", b"nobody@here.test")
    joe, nobody = front.orders()
    front.tell(nobody, b"U")
    assert answers() is None
    front.tell(joe, b"K")
    assert answers() == [b"K", b"K", b"U"]


def test_many_who_ask_at_once_cost_one_order(front):
    asking = [front.ask(b"joe@here.test", b"JOE@here.TEST") for _ in range(5)]
    [order] = front.orders()
    front.tell(order, b"U")
    assert [answers() for answers in asking] == [[b"U", b"U"]] * 5


@pytest.mark.parametrize("answer, kept", [(b"K", True), (b"K100", True), (b"U", False), (b"Q", False), (b"Z", False)])
def test_only_that_there_is_a_mailbox_is_remembered(front, answer, kept):
    front.ask(b"joe@here.test")
    front.tell(*front.orders(), answer)
    assert front.ask(b"Joe@Here.test")() == ([answer] if kept else None)
    front.clock.now += module.KEPT
    del front.orders()[:]
    front.ask(b"other@here.test", b"joe@here.test")
    assert len(front.orders()) == (2 if kept else 1)


def test_told_to_forget(front):
    front.ask(b"joe@here.test")
    front.tell(*front.orders(), b"K")
    front.tell((wire.FORGET,), b"Z")
    assert front.ask(b"joe@here.test")() is None


def test_a_size_is_always_looked_up(front):
    front.ask(b"joe@here.test")
    front.tell(*front.orders(), b"K100")
    asking = [front.ask(b"joe@here.test", size=101) for _ in range(2)]
    orders = front.orders()
    assert [order[1] for order in orders] == [101, 101]
    for order in orders:
        front.tell(order, b"Q")
    assert [answers() for answers in asking] == [[b"Q"]] * 2


def test_memory_is_bounded(front, monkeypatch):
    monkeypatch.setattr(module, "CACHE", 3)
    for n in range(10):
        front.ask(b"joe%d@here.test" % n)
        front.tell(*front.orders(), b"K")
    assert len(front.front._cache) == 3 and front.ask(b"joe9@here.test")() == [b"K"]


def test_what_takes_too_long_is_not_known(front):
    answers = front.ask(b"joe@here.test")
    [order] = front.orders()
    assert front.front._expire() == module.ANSWER_TIME
    front.clock.now += module.ANSWER_TIME
    assert front.front._expire() is None and answers() == [b"Z"]
    front.tell(order, b"U")             # too late: for nobody
    assert front.ask(b"joe@here.test")() is None and len(front.orders()) == 1


def test_under_way_is_bounded(front, monkeypatch):
    monkeypatch.setattr(module, "UNDER_WAY", 4)
    waiting = [front.ask(b"joe%d@here.test" % n) for n in range(4)]
    assert front.ask(b"more@here.test")() == [b"Z"]
    for order in front.orders():
        front.tell(order, b"K")
    assert [answers() for answers in waiting] == [[b"K"]] * 4
    assert front.ask(b"more@here.test")() is None


def test_one_client_cannot_have_everything_under_way(front, monkeypatch):
    monkeypatch.setattr(module, "OF_ONE", 2)
    client = front.client()
    for n in range(2):
        front.ask(b"joe%d@here.test" % n, client=client)
    assert front.ask(b"joe2@here.test", client=client)() == [b"Z"]
    assert front.ask(b"joe2@here.test")() is None


def test_a_root_part_that_does_not_keep_up(front):
    answers = [front.ask(*[b"a%d.%d@here.test" % (n, m) for m in range(wire.BATCH)]) for n in range(9)]
    found = [answer() for answer in answers]
    assert all(one is None or set(one) <= {b"Z"} for one in found)


@pytest.mark.parametrize("packet", [b"x", b"RC1\0", b"Q" * 1000, b"RC1\x001\x000\0" + b"x" * 2000])
def test_who_does_not_ask_is_let_go(front, packet):
    sock, fd = front.client()
    sock.send(packet)
    front.loop.readers[fd]()
    assert fd not in front.loop.readers and sock.recv(10) == b""


def test_a_client_that_goes_away_takes_its_answer_with_it(front):
    sock, fd = client = front.client()
    front.ask(b"joe@here.test", client=client)
    sock.close()
    front.loop.readers[fd]()
    front.tell(*front.orders(), b"K")
    assert front.ask(b"joe@here.test")() == [b"K"] and front.front._connections == 1


def test_a_client_that_does_not_read_is_let_go(front):
    sock, fd = client = front.client()
    while fd in front.loop.readers:
        sock.setblocking(True)
        sock.settimeout(5)
        front.number += 1
        sock.send(wire.question(front.number, 0, [b"joe@far.test"] * wire.BATCH))
        front.loop.readers[fd]()
    assert front.ask(b"joe@far.test")() == [b"K"]


def test_strangers_and_too_many_are_refused(front, monkeypatch, capfd):
    monkeypatch.setattr(module, "CONNECTIONS", 2)
    front.client(), front.client()
    sock, fd = front.client()
    assert fd is None and sock.recv(10) == b""
    front.front._connections, front.front._allowed = 0, {os.getuid() + 1}
    sock, fd = front.client()
    assert fd is None and sock.recv(10) == b""
    assert capfd.readouterr().err.count("refused a connection of uid") == 2


def test_it_ends_with_its_root_part(front):
    front.root.close()
    front.front._verdict()
    assert front.front._ended
