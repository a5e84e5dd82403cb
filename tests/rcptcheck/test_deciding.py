"""The root part of the recipient check: whose processes look, how many, and what their words are worth."""
import os
import socket

import pytest

from pyqmail.base import home
from pyqmail.rcptcheck import deciding as module
from pyqmail.rcptcheck import wire
from pyqmail.users.codes import CDB, Undecided


class Loop:
    def watch(self, fd, callback):
        self.readable = callback


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


class Resolver:
    """Everybody is a user of his own; joeN-… all are the user N."""

    def ask(self, local, getpw, answered):
        assert getpw
        user = local.partition(b"-")[0]
        if user == b"broken":
            answered(Undecided(CDB))
            return
        uid = 5000 if not user[3:].isdigit() else int(user[3:])
        place = b"relative" if user == b"strange" else b"/home"
        answered(b"\0".join((user, b"%d" % uid, b"77", place, b"-", b"ext", b"")))


class Pool:
    def __init__(self):
        self.looks = []                 # (uid, arguments, ended) under way

    @staticmethod
    def fits(arguments):
        return sum(map(len, arguments)) < 1000

    def deliver(self, uid, gid, arguments, message, ended):
        if uid == 666:
            raise OSError(11, "no fork")
        assert gid == 77
        self.looks.append((uid, arguments, ended))

    def end(self, place=0, said=b"K", status=0):
        uid, arguments, ended = self.looks.pop(place)
        ended(status, said)
        return arguments


class Fixture:
    def __init__(self):
        self.front, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.front.setblocking(False)
        self.loop, self.clock, self.pool = Loop(), Clock(), Pool()
        self.part = module.Deciding(self.loop, ours, Resolver(), self.pool, None, self.clock)
        self.loop.watch(0, self.part._readable)

    def order(self, local, number=1, size=0):
        self.front.send(wire.order(number, size, local, b"here.test"))
        self.loop.readable()

    def verdict(self):
        try:
            number, [answer] = wire.read_answer(self.front.recv(100))
            return number, answer
        except BlockingIOError:
            return None


@pytest.fixture
def part(monkeypatch):
    monkeypatch.setattr(home, "ours", lambda name: True)
    found = Fixture()
    yield found
    found.front.close()


def test_the_user_looks(part):
    part.order(b"joe1001", 7, 50)
    assert part.pool.end(said=b"K12") == (b"/home", b"-", b"ext", b"here.test", b"50")
    assert part.verdict() == (7, b"K12")


@pytest.mark.parametrize("said, status, answer", [
    (b"K", 0, b"K"), (b"U", 0, b"U"), (b"Q", 0, b"Q"), (b"U", 100, b"Z"), (b"U", -9, b"Z"), (b"Uh-oh", 0, b"Z"),
    (b"", 0, b"Z"), (b"U" * 1000, 0, b"Z"), (b"Zhome is \xff\n\x1bwritable", 0, b"Z"), (b"U\n", 0, b"Z")])
def test_what_it_says(part, said, status, answer, capfd):
    part.order(b"joe1001")
    part.pool.end(said=said, status=status)
    assert part.verdict() == (1, answer)
    log = capfd.readouterr().err
    assert log.count("\n") == (answer == b"Z") and (log[:-1].isprintable() or not log)


@pytest.mark.parametrize("local, answer", [
    (b"broken", b"Z"), (b"joe0", b"Z"), (b"joe666", b"Z"), (b"joe99999999999", b"Z"), (b"strange", b"K")])
def test_nobody_looks(part, local, answer):
    part.order(local)
    assert part.verdict() == (1, answer) and not part.pool.looks


def test_arguments_that_do_not_fit_are_for_qmail_local(part):
    part.order(b"joe1001", size=1)
    part.pool.fits = lambda arguments: False
    part.order(b"joe1001", 2)
    assert part.verdict() == (2, b"K") and len(part.pool.looks) == 1


def test_uid_0_never(part, capfd):
    part.order(b"joe0")
    assert part.verdict() == (1, b"Z") and not part.pool.looks
    assert "cannot tell about joe0@here.test" in capfd.readouterr().err


def test_a_private_home_tells_about_its_owner_only(part):
    part.part._alone = 1001
    part.order(b"joe1002")
    assert part.verdict() == (1, b"Z")
    part.order(b"joe1001")
    assert len(part.pool.looks) == 1


@pytest.mark.parametrize("name", module.PROGRAMS)
def test_other_programs_decide_for_themselves(part, monkeypatch, name):
    monkeypatch.setattr(home, "ours", lambda asked: asked != name)
    part.order(b"joe1001")
    assert part.verdict() == (1, b"K") and not part.pool.looks


def test_one_user_has_few_processes_and_holds_up_nobody(part):
    for n in range(10):
        part.order(b"joe1001-x", n)
    assert len(part.pool.looks) == module.OF_ONE_USER
    part.order(b"joe1002", 50)
    assert part.pool.looks[-1][0] == 1002
    for n in range(10):
        part.pool.end()
    assert {part.verdict()[0] for _ in range(10)} <= {*range(10), 50}


def test_processes_are_bounded(part):
    for n in range(module.LOOKING + 5):
        part.order(b"joe%d" % (1001 + n), n)
    assert len(part.pool.looks) == module.LOOKING
    for n in range(module.LOOKING + 5):
        part.pool.end()
    assert not part.pool.looks and not part.part._waiting and not part.part._of and not part.part._looking


def test_what_waits_for_too_long_is_not_looked_up(part):
    for n in range(module.OF_ONE_USER + 1):
        part.order(b"joe1001", n)
    assert part.part._give_up() == 1
    part.clock.now += module.PATIENCE + 1
    assert part.part._give_up() is None and part.verdict() == (module.OF_ONE_USER, b"Z")
    assert len(part.pool.looks) == module.OF_ONE_USER


def test_orders_are_bounded(part, monkeypatch):
    monkeypatch.setattr(module, "ORDERS", 3)
    for n in range(4):
        part.order(b"joe1001", n)
    assert part.verdict() == (3, b"Z")
    for n in range(3):
        part.pool.end()
        assert part.verdict() == (n, b"K")
    assert part.part._under_way == 0


@pytest.mark.parametrize("packet", [b"x", b"1\x000\0\0here.test", b"1\x000\0" + b"j" * 5000 + b"\0x"])
def test_a_front_that_talks_nonsense_is_the_end(part, packet):
    part.front.send(packet)
    part.loop.readable()
    assert part.part.ended and not part.pool.looks


def test_the_front_has_gone(part):
    part.order(b"joe1001")
    part.front.close()
    part.loop.readable()
    assert part.part.ended
    part.pool.end()                     # nobody to tell


def test_no_descriptor_is_left(part):
    before = len(os.listdir("/proc/self/fd"))
    for n in range(50):
        part.order(b"joe1001")
        part.pool.end()
        part.order(b"joe666")
    while part.verdict():
        pass
    assert len(os.listdir("/proc/self/fd")) == before
