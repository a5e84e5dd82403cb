"""Asking from an event loop: answers find who asked, and a service that is not there is never "unknown"."""
import socket

import pytest

from pyqmail.rcptcheck import client, flow, wire


class Loop:
    """Time and callbacks by hand."""

    def __init__(self):
        self.now, self.readers, self.soon, self.later = 0.0, {}, [], []

    def time(self):
        return self.now

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_soon(self, callback, *arguments):
        self.soon.append(lambda: callback(*arguments))

    def call_later(self, seconds, callback):
        self.later.append((self.now + seconds, callback))
        return callback

    def run(self, seconds=0):
        """Let time pass and do what is to be done."""
        self.now += seconds
        for due, callback in list(self.later):
            if due <= self.now:
                self.later.remove((due, callback))
                callback()
        while self.soon:
            self.soon.pop(0)()


class Service:
    """The other end. connect() refuses while it is down."""

    def __init__(self, monkeypatch):
        self.up, self.socket = True, None
        monkeypatch.setattr(wire, "connect", self.connect)

    def connect(self):
        if not self.up:
            return None
        ours, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        return ours

    def asked(self):
        return wire.read_question(self.socket.recv(100_000))

    def says(self, packet):
        self.socket.send(packet)


@pytest.fixture
def service(monkeypatch):
    found = Service(monkeypatch)
    yield found
    if found.socket:
        found.socket.close()


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def ask(service, loop):
    """ask(addresses): a list that the answer will be put into."""
    asker = flow.Asker(loop)

    def once(*addresses, size=0):
        heard = []
        asker.ask(list(addresses), size, heard.append)
        assert heard == []              # never at once
        return heard
    once.asker = asker
    return once


def readable(loop):
    [callback] = loop.readers.values()
    callback()


def test_answers_in_any_order_over_one_connection(service, loop, ask):
    first, second = ask(b"joe@a"), ask(b"sue@a", b"x@a", size=5)
    questions = [service.asked(), service.asked()]
    assert [question[1:] for question in questions] == [(0, [b"joe@a"]), (5, [b"sue@a", b"x@a"])]
    service.says(wire.answer(questions[1][0], [b"U", b"K7"]))
    readable(loop)
    assert (first, second) == ([], [[b"U", b"K7"]])
    service.says(wire.answer(questions[0][0], [b"K"]))
    readable(loop)
    assert first == [[b"K"]]


def test_not_there(service, loop, ask, capfd):
    service.up = False
    found = [ask(b"joe@a", b"sue@a") for _ in range(3)]
    loop.run()
    assert found == [[[b"Z", b"Z"]]] * 3
    assert capfd.readouterr().err == client.NOT_THERE + "\n"       # once, not for each recipient
    service.up = True
    again = ask(b"joe@a")
    service.says(wire.answer(service.asked()[0], [b"K"]))
    readable(loop)
    assert again == [[b"K"]]


def test_gone_while_asked(service, loop, ask):
    found = ask(b"joe@a")
    service.socket.close()
    readable(loop)
    loop.run()
    assert found == [[b"Z"]] and not loop.readers


def test_restarted_in_between(service, loop, ask):
    """A connection that has died unnoticed costs nobody anything."""
    ask(b"joe@a")
    service.says(wire.answer(service.asked()[0], [b"K"]))
    readable(loop)
    service.socket.close()
    found = ask(b"sue@a")
    number, size, addresses = service.asked()
    service.says(wire.answer(number, [b"U"]))
    readable(loop)
    assert addresses == [b"sue@a"] and found == [[b"U"]]


@pytest.mark.parametrize("packet", [b"x", b"", b"1"])
def test_no_answer(service, loop, ask, packet):
    found = ask(b"joe@a")
    service.says(packet or b"\0")
    readable(loop)
    loop.run()
    assert found == [[b"Z"]]


@pytest.mark.parametrize("answers", [[b"U"], [b"U"] * 3])
def test_too_few_or_too_many(service, loop, ask, answers):
    found = ask(b"joe@a", b"sue@a")
    service.says(wire.answer(service.asked()[0], answers))
    readable(loop)
    assert found == [[b"Z", b"Z"]]


def test_an_answer_that_nobody_waits_for(service, loop, ask):
    found = ask(b"joe@a")
    number = service.asked()[0]
    service.says(wire.answer(number + 1, [b"U"]))
    readable(loop)
    service.says(wire.answer(number, [b"K"]))
    readable(loop)
    assert found == [[b"K"]]


def test_silence(service, loop, ask):
    first = ask(b"joe@a")
    loop.run(client.PATIENCE - 1)
    second = ask(b"sue@a")
    loop.run(1)
    assert (first, second) == ([[b"Z"]], [])
    loop.run(client.PATIENCE - 1)
    assert second == [[b"Z"]] and not loop.later


def test_a_service_that_does_not_read(service, loop, ask):
    found = [ask(*[b"x" * 1000] * wire.BATCH) for _ in range(100)]
    loop.run()
    assert all(heard in ([], [[b"Z"] * wire.BATCH]) for heard in found) and [[b"Z"] * wire.BATCH] in found


# ---------------------------------------------------------------- waiting

def test_waiting(service, monkeypatch):
    monkeypatch.setattr(client, "exchange", lambda question: [b"K"] * len(wire.read_question(question)[2]))
    assert client.answers([b"joe@a"] * 120) == [b"K"] * 120


def test_waiting_for_nobody(service, capfd):
    service.up = False
    assert client.answers([b"joe@a", b"sue@a"]) == [b"Z", b"Z"]
    assert capfd.readouterr().err == client.NOT_THERE + "\n"


def test_waiting_for_one_who_hangs_up(monkeypatch):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    monkeypatch.setattr(wire, "connect", lambda: ours)
    assert client.answers([b"joe@a"]) == [b"Z"]
