"""Passes and reports, with the spawners' pipes in our hands."""
import os

import pytest

from pyqmail.send.channel import Channel
from pyqmail.send.deliveries import PARKED_MAX, TOO_OLD, TURN, Deliveries
from pyqmail.send.known import Known
from pyqmail.send.scheduler import Due
from pyqmail.spawn import wire


class Spawner:
    """The other end of a channel."""

    def __init__(self, name, limit, width=1):
        self.orders_fd, orders = os.pipe()
        reports, self.reports_fd = os.pipe()
        os.set_blocking(orders, False)
        self.channel = Channel(name, orders, reports, limit, width)
        self.width, self.reader = width, wire.OrderReader(width)

    def orders(self):
        os.set_blocking(self.orders_fd, False)
        found = []
        while True:
            assert self.channel.write()
            try:
                found += self.reader.feed(os.read(self.orders_fd, 65536))
            except BlockingIOError:
                return found


class System:
    def __init__(self, clock, log, controls, pool, pause, hands, limits=(10, 20), width=1):
        self.log, self.pool, self.done, self.clock, self.ending = log, pool, Due(), clock, False
        self.spawners = {"local": Spawner("local", limits[0]), "remote": Spawner("remote", limits[1], width)}
        self.channels = {name: spawner.channel for name, spawner in self.spawners.items()}
        self.deliveries = Deliveries(clock, log, controls, self.channels, self.done, pool, lambda: self.ending, pause,
                                     hands, Known())

    def due(self, name, *numbers):
        for number in numbers:
            self.channels[name].due.add(self.clock.now(), number)

    def steps(self):
        """Until nothing more is to do, channels in turn."""
        while any([self.deliveries.step(channel) for channel in self.channels.values()]):
            pass

    def report(self, name, number, text):
        spawner = self.spawners[name]
        os.write(spawner.reports_fd, wire.report(number, text, spawner.width))
        assert self.deliveries.reports(spawner.channel)
        self.pool.collect()


@pytest.fixture
def make(clock, log, controls, pool, pausing, hands):
    return lambda **options: System(clock, log, controls, pool, pausing, hands, **options)


BIRTH = 1_700_000_000 - 1000


def message(queue, number=1001, local=None, remote=None, sender=b"s@a"):
    queue.write("info", number, b"F%b\0" % sender, BIRTH)
    if local is not None:
        queue.write("local", number, local)
    if remote is not None:
        queue.write("remote", number, remote)


def test_success_from_order_to_done(queue, make, log):
    message(queue, local=b"Ta@me.example\0")
    system = make()
    system.due("local", 1001)
    system.steps()
    assert system.spawners["local"].orders() == [(0, b"12/1001", b"s@a", b"a@me.example", False)]
    assert log == [b"starting delivery 1: msg 1001 to local a@me.example", b"status: local 1/10 remote 0/20"]
    del log[:]
    system.report("local", 0, b"Kok\n")
    assert log == [b"delivery 1: success: ok/", b"status: local 0/10 remote 0/20"]
    assert queue.read("local", 1001) is None
    assert system.done.take(system.clock.now()) == 1001


def test_channels_start_in_turn_local_first(queue, make, log):
    message(queue, local=b"Ta@l\0Tb@l\0", remote=b"Tc@r\0Td@r\0")
    system = make()
    system.due("local", 1001)
    system.due("remote", 1001)
    system.steps()
    assert [line.split()[-1] for line in log if line.startswith(b"starting")] == [b"a@l", b"c@r", b"b@l", b"d@r"]


def test_marks_and_the_next_time(queue, make, log):
    message(queue, local=b"Ta@l\0Dold@l\0Tb@l\0Tc@l\0")
    system = make()
    system.due("local", 1001)
    system.steps()
    system.report("local", 0, b"Kok\n")
    system.report("local", 2, b"Dno\n")
    system.report("local", 1, b"Zlater\n")
    assert queue.read("local", 1001) == b"Da@l\0Dold@l\0Tb@l\0Dc@l\0"
    assert queue.read("bounce", 1001) == b"<c@l>:\nno\n\n"
    assert list(system.channels["local"].due.drain()) == [(BIRTH + (31 + 10) ** 2, 1001)]


def test_failure_is_marked_only_after_its_text_is_synced(queue, make):
    message(queue, local=b"Ta@l\0")
    system = make()
    system.due("local", 1001)
    system.steps()
    spawner = system.spawners["local"]
    os.write(spawner.reports_fd, wire.report(0, b"Dno\n"))
    system.deliveries.reports(spawner.channel)
    assert queue.read("bounce", 1001) == b"<a@l>:\nno\n\n"
    assert queue.read("local", 1001) == b"Ta@l\0"
    system.pool.collect()
    assert queue.read("local", 1001) is None


def test_failure_text_that_may_not_be_on_the_disk(queue, make, log, monkeypatch):
    message(queue, local=b"Ta@l\0")
    system = make()
    system.due("local", 1001)
    system.steps()

    def broken(fd):
        raise OSError(5, "input/output error")
    monkeypatch.setattr(os, "fsync", broken)
    system.report("local", 0, b"Dno\n")
    assert queue.read("local", 1001) == b"Ta@l\0"
    assert log[-1] == b"warning: trouble fsyncing bounce/1001"
    assert len(system.channels["local"].due) == 1


@pytest.mark.parametrize("age, report, letter", [
    (604_800, b"Zlater\n", b"T"), (604_801, b"Zlater\n", b"D"), (604_801, b"Kok\n", b"D"), (604_801, b"Qwhat\n", b"T")])
def test_a_deferral_is_final_beyond_the_lifetime(queue, make, clock, age, report, letter):
    message(queue, local=b"Ta@l\0Tb@l\0")
    clock.time = BIRTH + age
    system = make()
    system.due("local", 1001)
    system.steps()
    system.report("local", 0, report)
    assert queue.read("local", 1001)[:1] == letter
    if letter == b"D" and report[:1] == b"Z":
        assert queue.read("bounce", 1001) == b"<a@l>:\nlater\n" + TOO_OLD + b"\n"


def started(system, steps=None):
    """The messages whose deliveries are started, one after the other; each succeeds at once."""
    found = []
    while system.deliveries.step(system.channels["local"]):
        for order in system.spawners["local"].orders():
            found.append(int(order.messid.rpartition(b"/")[2]))
            system.report("local", order.delnum, b"Kok\n")
        if steps and len(found) >= steps:
            break
    return found


def test_a_long_list_gives_way(queue, make):
    """Messages of one recipient that come later are not behind 1,000; nor is the list behind any number of them."""
    system = make()
    message(queue, 1001, local=b"Ta@l\0" * 10 * TURN)
    system.due("local", 1001)
    begun = started(system, TURN)
    later = range(2000, 2000 + 3 * TURN)
    for number in later:
        message(queue, number, local=b"Tb@l\0")
    system.due("local", *later)
    order = begun + started(system)
    assert order.count(1001) == 10 * TURN and sorted(number for number in order if number != 1001) == list(later)
    assert order.index(later[0]) <= 2 * TURN + 1
    last = max(at for at, number in enumerate(order) if number != 1001)
    assert 2 * TURN <= order[:last].count(1001) <= 6 * TURN
    assert all(queue.read("local", number) is None for number in (1001, *later))


def test_many_long_lists_share(queue, make):
    system = make(limits=(40, 0))
    numbers = range(1000, 1000 + PARKED_MAX + 4)
    for number in numbers:
        message(queue, number, local=b"Ta@l\0" * 3 * TURN)
    system.due("local", *numbers)
    order = started(system)
    assert sorted(order) == sorted(list(numbers) * 3 * TURN)
    assert len(set(order[:(PARKED_MAX - 2) * TURN])) > PARKED_MAX / 2 - 2
    assert not system.channels["local"].parked and not system.deliveries.busy(1000)


def test_places_and_their_numbers(queue, make, log):
    message(queue, local=b"Ta@l\0Tb@l\0Tc@l\0")
    system = make(limits=(2, 0))
    system.due("local", 1001)
    system.steps()
    assert [order.delnum for order in system.spawners["local"].orders()] == [0, 1]
    system.report("local", 0, b"Kok\n")
    system.steps()
    assert [order.delnum for order in system.spawners["local"].orders()] == [0]
    assert log[-2:] == [b"starting delivery 3: msg 1001 to local c@l", b"status: local 2/2 remote 0/0"]


@pytest.mark.parametrize("number", [0, 9, 10, 255])
def test_report_out_of_range(queue, make, log, number):
    system = make()
    system.report("local", number, b"Kok\n")
    assert log == [b"warning: internal error: delivery report out of range"]


@pytest.mark.parametrize("text", [b"", b"Xok", b"k"])
def test_mangled_report_defers(queue, make, log, text):
    message(queue, local=b"Ta@l\0")
    system = make()
    system.due("local", 1001)
    system.steps()
    system.report("local", 0, text)
    assert b"delivery 1: report mangled, will defer" in log
    assert queue.read("local", 1001) == b"Ta@l\0"


def test_unknown_record_ends_the_pass(queue, make, log):
    message(queue, local=b"Ta@l\0Xb@l\0Tc@l\0")
    system = make()
    system.due("local", 1001)
    system.steps()
    assert log[-1] == b"warning: unknown record type in local/12/1001!"
    system.report("local", 0, b"Kok\n")
    assert queue.read("local", 1001) == b"Da@l\0Xb@l\0Tc@l\0"
    assert len(system.channels["local"].due) == 1


@pytest.mark.parametrize("local, info, trouble", [
    (b"Ta@l\0", b"", b"info/12/1001"), (b"Ta@l\0", b"Xs@a\0", b"info/12/1001"), (b"Ta@l\0", None, b"info/12/1001"),
    (None, b"Fs@a\0", b"local/12/1001")])
def test_trouble_opening(queue, make, log, local, info, trouble):
    if local is not None:
        queue.write("local", 1001, local)
    if info is not None:
        queue.write("info", 1001, info)
    system = make()
    system.due("local", 1001)
    system.steps()
    assert log == [b"warning: trouble opening %b; will try again later" % trouble]
    assert list(system.channels["local"].due.drain()) == [(system.clock.now() + 123, 1001)]


def test_jobs_are_as_many_as_places(queue, make):
    for number in (1001, 1002, 1003):
        message(queue, number, local=b"Ta@l\0")
    system = make(limits=(2, 0))
    system.due("local", 1001, 1002, 1003)
    system.steps()
    assert len(system.channels["local"].due) == 1
    assert not system.deliveries.room


def test_the_other_channel_keeps_the_message(queue, make):
    message(queue, local=b"Ta@l\0", remote=b"Tb@r\0")
    system = make()
    system.due("local", 1001)
    system.steps()
    system.report("local", 0, b"Kok\n")
    assert system.done.first() is None


def test_wide_numbers(queue, make):
    recipients = [b"u%d@r" % number for number in range(300)]
    message(queue, remote=b"".join(b"T%b\0" % recipient for recipient in recipients))
    system = make(limits=(10, 400), width=2)
    system.due("remote", 1001)
    system.steps()
    orders = system.spawners["remote"].orders()
    assert [(order.delnum, order.recipient) for order in orders] == list(enumerate(recipients))
    system.report("remote", 299, b"Kok\n")
    system.report("remote", 256, b"Kok\n")
    assert queue.read("remote", 1001).count(b"D") == 2


def test_orders_wait_for_the_pipe_and_stay_bounded(queue, make):
    """A spawner that does not read costs a bounded amount of memory, and nothing is lost when it reads again."""
    recipients = [b"u%d@r" % number + b"x" * 900 for number in range(250)]
    message(queue, remote=b"".join(b"T%b\0" % recipient for recipient in recipients))
    system = make(limits=(10, 255))
    channel = system.channels["remote"]
    system.due("remote", 1001)
    system.steps()
    assert not channel.available and channel.used < 250
    found = []
    while len(found) < 250:
        system.steps()
        found += system.spawners["remote"].orders()
    assert [order.recipient for order in found] == recipients


def test_spawner_gone(queue, make):
    system = make()
    spawner = system.spawners["local"]
    os.close(spawner.reports_fd)
    assert system.deliveries.reports(spawner.channel) is False
    message(queue, local=b"Ta@l\0")
    system.due("local", 1001)
    system.steps()
    os.close(spawner.orders_fd)
    assert spawner.channel.write() is False
