"""The resolver's asking side: what its answers may be, and look-ups that hang. The process is played by the test."""
import os
import socket

import pytest

from pyqmail.spawn import resolver
from pyqmail.users import codes


@pytest.mark.parametrize("answer, found", [
    (b"=joe\0", b"joe\0"), (b"-", None), (b"!117", codes.CDB), (b"!", codes.BUG),
    (b"!1x", codes.BUG), (b"!1234", codes.BUG), (b"?", codes.BUG), (b"-x", codes.BUG)])
def test_understood(answer, found):
    got = resolver.understood(answer)
    assert (got.code if isinstance(got, codes.Undecided) else got) == found


class Clock:
    time = 0.0

    def monotonic(self):
        return self.time


class PlayedLoop:
    def __init__(self):
        self.sockets, self.ends, self.watched = [], [], {}

    def fork(self, run, fds, ended):
        self.sockets.append(socket.socket(fileno=os.dup(fds[resolver.SOCKET])))
        self.ends.append(ended)

    def watch(self, fd, callback):
        self.watched[fd] = callback

    def forget(self, fd):
        self.watched.pop(fd, None)

    def readable(self):
        for callback in list(self.watched.values()):
            callback()


@pytest.fixture
def asking(tmp_path, monkeypatch):
    (tmp_path / "users").mkdir()
    monkeypatch.setattr(resolver.home, "HOME", str(tmp_path))
    loop, clock, answers = PlayedLoop(), Clock(), []
    found = resolver.Resolver(loop, (1, 1), clock)

    def ask(local):
        found.ask(local, True, lambda answer: answers.append((local, answer)))
    return found, ask, loop, clock, answers


def test_one_question_at_a_time(asking):
    _, ask, loop, _, answers = asking
    ask(b"a")
    ask(b"b")
    assert loop.sockets[0].recv(10) == b"ga"
    with pytest.raises(BlockingIOError):
        loop.sockets[0].recv(10, socket.MSG_DONTWAIT)
    loop.sockets[0].send(b"=A")
    loop.readable()
    assert answers == [(b"a", b"A")] and loop.sockets[0].recv(10) == b"gb" and len(loop.sockets) == 1


def test_a_look_up_that_hangs_holds_up_no_others(asking):
    found, ask, loop, clock, answers = asking
    ask(b"hangs")
    ask(b"b")
    assert found.next() == resolver.SLOW_AFTER
    clock.time += resolver.SLOW_AFTER
    assert found.next() is None and loop.sockets[1].recv(10) == b"gb"
    loop.sockets[0].send(b"=late")
    loop.sockets[1].send(b"=B")
    loop.readable()
    assert sorted(answers) == [(b"b", b"B"), (b"hangs", b"late")] and len(loop.watched) == 1


def test_slow_processes_are_bounded(asking):
    found, ask, loop, clock, _ = asking
    for number in range(resolver.SLOW_MAX + 5):
        ask(b"%d" % number)
        clock.time += resolver.SLOW_AFTER
        assert found.next() in (None, 1)
    assert len(loop.sockets) == resolver.SLOW_MAX + 1


def test_death_costs_the_one_question(asking):
    _, ask, loop, _, answers = asking
    ask(b"poison")
    ask(b"b")
    loop.sockets[0].close()
    loop.readable()
    loop.ends[0](-11)
    assert [(local, why.code) for local, why in answers] == [(b"poison", codes.SYSTEM)]
    assert loop.sockets[1].recv(10) == b"gb" and len(loop.sockets) == 2


def test_a_new_cdb_gets_a_new_process(asking, tmp_path):
    _, ask, loop, _, _ = asking
    for content in (None, b"one", b"twoo"):
        if content:
            (tmp_path / "users/new").write_bytes(content)
            os.rename(tmp_path / "users/new", tmp_path / "users/cdb")
        for _ in range(2):
            ask(b"a")
            loop.sockets[-1].recv(10)
            loop.sockets[-1].send(b"-")
            loop.readable()
    assert len(loop.sockets) == 3 and len(loop.watched) == 1


def test_unreadable_cdb_is_said_at_once(asking, tmp_path):
    _, ask, loop, _, answers = asking
    os.symlink("cdb", tmp_path / "users/cdb")
    ask(b"a")
    assert answers[0][1].code == codes.CDB and not loop.sockets


def test_an_address_longer_than_a_packet(asking):
    _, ask, loop, _, answers = asking
    ask(b"x" * resolver.PACKET)
    assert answers[0][1].code == codes.MEMORY and not loop.sockets


def test_an_answer_holds_for_a_moment(asking, tmp_path, monkeypatch):
    """Not beyond it, not when a file with accounts or addresses has changed since it was asked for, and only if somebody
    was found."""
    _, ask, loop, clock, answers = asking
    accounts = tmp_path / "passwd"
    monkeypatch.setattr(resolver.passwd, "PASSWD", str(accounts))

    def change(path, text):
        (tmp_path / "new").write_bytes(text)
        os.rename(tmp_path / "new", path)

    def asked(local=b"a", answer=b"=A\0", meanwhile=lambda: None):
        """True if this takes a look-up."""
        before = len(answers)
        ask(local)
        if len(answers) > before:
            return False
        assert loop.sockets[-1].recv(10) == b"g" + local
        meanwhile()
        loop.sockets[-1].send(answer)
        loop.readable()
        assert len(answers) == before + 1
        return True
    assert asked() and not asked() and asked(b"A") and answers[1] == (b"a", b"A\0")
    change(accounts, b"one")
    assert asked() and not asked()
    change(accounts, b"two2")
    assert asked(meanwhile=lambda: change(accounts, b"three")) and asked() and not asked()
    change(tmp_path / "users/cdb", b"cdb")
    assert asked() and not asked()
    clock.time += resolver.HOLD
    assert asked() and not asked()
    for answer in (b"-", b"!%d" % codes.SYSTEM):
        assert asked(b"b", answer) and asked(b"b", answer)


def test_answers_that_hold_are_bounded(asking):
    found, ask, loop, _, _ = asking
    for number in range(resolver.HELD + 10):
        ask(b"%d" % number)
        loop.sockets[-1].recv(10)
        loop.sockets[-1].send(b"=A")
        loop.readable()
        assert len(found._held) <= resolver.HELD
