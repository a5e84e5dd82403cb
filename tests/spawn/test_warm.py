"""The pool of warm processes: who is kept, who goes. The processes are played by the test."""
import os
import socket

import pytest

from pyqmail.spawn import hearing, warm
from pyqmail.users import codes


class Clock:
    def __init__(self):
        self.time = 1000.0

    def monotonic(self):
        return self.time


class Player:
    """A process as its pool sees it: the other end of the socket."""

    def __init__(self, fd, pipe, ended):
        self.socket, self.pipe = socket.socket(fileno=os.dup(fd)), os.dup(pipe)
        self.ended = ended

    def order(self):
        packet, (message, *pipe), _, _ = socket.recv_fds(self.socket, warm.PACKET, 2, socket.MSG_DONTWAIT)
        os.close(message)
        for fd in pipe:
            self.pipe = fd
        return packet.split(b"\0")

    def gone(self):
        try:
            return self.socket.recv(1, socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False


class PlayedLoop:
    """fork() makes a Player; watch() and forget() only remember."""

    def __init__(self):
        self.players, self.watched = [], {}

    def fork(self, run, fds, ended):
        self.players.append(Player(fds[warm.SOCKET], fds[warm.OUTPUT], ended))

    def watch(self, fd, callback):
        self.watched[fd] = callback

    def forget(self, fd):
        self.watched.pop(fd, None)

    def readable(self):
        for callback in list(self.watched.values()):
            callback()


@pytest.fixture
def played():
    loop, clock = PlayedLoop(), Clock()
    pool = warm.Pool(loop, None, clock)
    return pool, loop, clock


def deliver(pool, uid, endings, *arguments):
    pool.deliver(uid, uid, arguments, 0, lambda status, text: endings.append((status, text) if text else status))


def test_one_user_is_served_by_one_process(played):
    pool, loop, _ = played
    endings = []
    for number in (0, 100, 111):
        deliver(pool, 7, endings, b"joe", b"", b"x")
        assert loop.players[0].order() == [b"joe", b"", b"x"]
        loop.players[0].socket.send(b"%d 0 0 " % number)
        loop.readable()
    assert endings == [0, 100, 111] and len(loop.players) == 1


def test_a_busy_process_gets_nothing_else_and_users_are_never_mixed(played):
    pool, loop, _ = played
    endings = []
    deliver(pool, 7, endings, b"one")
    deliver(pool, 7, endings, b"two")
    pool.deliver(7, 8, [b"other group"], 0, endings.append)
    deliver(pool, 9, endings, b"other user")
    assert [player.order() for player in loop.players] == [[b"one"], [b"two"], [b"other group"], [b"other user"]]


def answer_all(loop, text=b"0 0 0 "):
    for player in loop.players:
        if not player.gone():
            player.socket.send(text)
    loop.readable()


def test_idle_processes_are_few_and_the_least_used_goes(played):
    pool, loop, _ = played
    endings = []
    for uid in range(1, warm.IDLE_PROCESSES + 4):
        deliver(pool, uid, endings)
        loop.players[-1].order()
        loop.players[-1].socket.send(b"0 0 0 ")
        loop.readable()
    gone = [player.gone() for player in loop.players]
    assert gone == [True] * 3 + [False] * warm.IDLE_PROCESSES


def test_idle_time(played):
    pool, loop, clock = played
    deliver(pool, 7, [])
    loop.players[0].order()
    assert pool.expire() is None
    answer_all(loop)
    assert pool.expire() == warm.IDLE_TIME
    clock.time += warm.IDLE_TIME
    assert pool.expire() is None and loop.players[0].gone() and not loop.watched


@pytest.mark.parametrize("spent_by", ["age", "count", "itself", "nonsense"])
def test_a_spent_process_is_not_used_again(played, spent_by):
    pool, loop, clock = played
    endings = []
    deliver(pool, 7, endings)
    loop.players[0].order()
    if spent_by == "age":
        clock.time += warm.AGE_MAX
    if spent_by == "count":
        for _ in range(warm.DELIVERIES_MAX - 1):
            answer_all(loop)
            deliver(pool, 7, endings)
            loop.players[0].order()
    loop.players[0].socket.send({"itself": b"0 1 0 ", "nonsense": b"K \0 everything"}.get(spent_by, b"0 0 0 "))
    loop.readable()
    assert loop.players[0].gone() and endings[-1] == (codes.BUG if spent_by == "nonsense" else 0)
    deliver(pool, 7, endings)
    assert len(loop.players) == 2


def test_crash(played):
    pool, loop, _ = played
    endings = []
    deliver(pool, 7, endings)
    loop.players[0].socket.close()
    loop.readable()
    assert endings == []                            # not before it is known how it ended
    loop.players[0].ended(-11)
    loop.readable()
    assert endings == []                            # nor while a command may still say something
    os.close(loop.players[0].pipe)
    loop.readable()
    assert endings == [-11] and not loop.watched


def test_an_answer_just_before_the_end_counts(played):
    pool, loop, _ = played
    endings = []
    deliver(pool, 7, endings)
    loop.players[0].order()
    loop.players[0].socket.send(b"100 1 0 ")
    loop.players[0].socket.close()
    loop.players[0].ended(0)
    assert endings == [100] and not loop.watched


def test_a_process_that_died_idle_costs_nothing(played):
    pool, loop, _ = played
    endings = []
    deliver(pool, 7, endings)
    loop.players[0].order()
    answer_all(loop)
    loop.players[0].socket.close()
    deliver(pool, 7, endings, b"next")
    assert loop.players[1].order() == [b"next"] and endings == [0]


def test_one_that_speaks_without_being_asked_goes(played):
    pool, loop, _ = played
    deliver(pool, 7, [])
    loop.players[0].order()
    answer_all(loop)
    loop.players[0].socket.send(b"0 0 0 ")
    loop.readable()
    assert not loop.watched


def test_what_a_process_says_is_in_its_answer(played):
    pool, loop, _ = played
    endings = []
    for text, said in ((b"did 1+0+0\n", b"did 1+0+0\n"), (b"a 1 1 b", b"a 1 1 b"), (b"a\0b", b"a"),
                       (b"x" * 3001, b"x" * 2966 + b"\nError report too long, sorry.\n")):
        deliver(pool, 7, endings)
        loop.players[0].order()
        loop.players[0].socket.send(b"100 0 0 " + text)
        loop.readable()
        assert endings.pop() == (100, said)
    assert len(loop.players) == 1


def test_a_pipe_that_commands_have_had_is_read_to_its_end_and_replaced(played):
    pool, loop, _ = played
    endings = []
    deliver(pool, 7, endings, b"one")
    player = loop.players[0]
    player.order()
    os.write(player.pipe, b"from a command\n")
    player.socket.send(b"0 0 1 ")
    loop.readable()
    first = player.pipe
    deliver(pool, 7, endings, b"two")
    assert player.order() == [b"two"] and player.pipe != first and len(loop.players) == 1 and endings == []
    os.write(player.pipe, b"second\n")
    player.socket.send(b"111 0 1 ")
    os.close(player.pipe)
    loop.readable()
    loop.readable()
    assert endings == [(111, b"second\n")]
    os.write(first, b"left behind\n")
    os.close(first)
    loop.readable()
    assert endings[1:] == [(0, b"from a command\nleft behind\n")]


def test_a_process_that_dies_takes_along_what_it_has_said(played):
    pool, loop, _ = played
    endings = []
    deliver(pool, 7, endings)
    player = loop.players[0]
    player.order()
    os.write(player.pipe, b"said\n")
    os.close(player.pipe)
    player.socket.close()
    loop.readable()
    player.ended(100)
    assert endings == [(100, b"said\n")] and not loop.watched


def test_without_a_pipe_nothing_is_begun(played, monkeypatch):
    pool, loop, _ = played
    deliver(pool, 7, [])
    player = loop.players[0]
    player.order()
    player.socket.send(b"0 0 1 ")
    loop.readable()

    def none(_):
        raise OSError(24, "too many open files")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe2", none)
        for uid in (7, 8):
            with pytest.raises(hearing.NoPipe):
                deliver(pool, uid, [])
    deliver(pool, 7, [], b"later")
    assert player.order() == [b"later"] and len(loop.players) == 1
