"""qmail-send as a process, with the real qmail-clean; the test plays the spawners. Killed at any time, it goes on."""
import os
import random
import select
import signal
import subprocess
import threading
import time

import pytest

from pyqmail.queue import names
from pyqmail.spawn import wire

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 60                       # s for what ought to happen at once


class Home:
    """A QMAILHOME of one test: the programs of the checkout, its own control files and queue."""

    def __init__(self, path):
        self.path, self.queue = path, path / "queue"
        (path / "control").mkdir()
        (path / "control/me").write_bytes(b"me.example\n")
        os.symlink(os.path.join(ROOT, "pyqmail"), path / "pyqmail")
        (path / "bin").mkdir()
        for name in ("qmail-send", "qmail-clean"):
            (path / "bin" / name).write_bytes(open(os.path.join(ROOT, "bin", name), "rb").read())
            (path / "bin" / name).chmod(0o755)
        for kind in ("bounce", "intd", "todo", "pid", "lock"):
            (self.queue / kind).mkdir(parents=True)
        for kind in names.DIRECTORIES_SPLIT:
            for split in range(names.SPLIT):
                (self.queue / kind / str(split)).mkdir(parents=True)
        os.mkfifo(self.queue / "lock/trigger")
        (self.queue / "lock/sendmutex").write_bytes(b"")
        self.fake_queue = path / "fake-queue"
        self.fake_queue.write_text(f"#!/bin/sh\ncat > /dev/null\ncat <&1 >> {path}/bounces\necho >> {path}/bounces\n")
        self.fake_queue.chmod(0o755)

    def arrive(self, sender, recipients):
        """A message in todo, as qmail-queue leaves it. Returns its number."""
        mess = self.queue / "pid/x"
        mess.write_bytes(b"Received: x\n\nbody\n")
        number = mess.stat().st_ino
        os.rename(mess, self.queue / names.split("mess", number))
        intd = self.queue / names.flat("intd", number)
        intd.write_bytes(b"u1\0p2\0F%b\0" % sender + b"".join(b"T%b\0" % recipient for recipient in recipients))
        os.link(intd, self.queue / names.flat("todo", number))
        return number

    def files(self):
        """What is left of messages."""
        return sorted(os.path.relpath(os.path.join(top, name), self.queue) for top, _, found in os.walk(self.queue)
                      for name in found if not top.endswith("lock"))

    def unfinished(self):
        """The same, without mess: killed between removing info and asking qmail-clean, an orphan remains."""
        return [name for name in self.files() if not name.startswith("mess/")]

    def pull(self):
        fd = os.open(self.queue / "lock/trigger", os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, b"\0")
        os.close(fd)


class Running:
    """qmail-send and the real qmail-clean; decide(channel, recipient) gives the report of a delivery, None for
    never."""

    def __init__(self, home, decide, arguments=(), width=1, limit=120):
        self.decide, self.delivered, self.log, self.orders = decide, [], b"", []
        pipes = [os.pipe() for _ in range(7)]
        theirs = [pipe[1 if number in (0, 1, 3, 5) else 0] for number, pipe in enumerate(pipes)]
        ours = {number: pipe[0 if number in (0, 1, 3, 5) else 1] for number, pipe in enumerate(pipes)}
        os.write(ours[2], wire.hello(min(limit, 255)))
        os.write(ours[4], wire.hello(limit, width))

        requests, answers = ours.pop(5), ours.pop(6)
        self.clean = subprocess.Popen([home.path / "bin/qmail-clean"], stdin=requests, stdout=answers)
        # The shell puts the descriptors 0 to 6 in place; qmail-send runs in its process.
        wiring = [f"{number}{'<' if number in (2, 4, 6) else '>'}&{fd}" for number, fd in enumerate(theirs)]
        for fd in theirs:
            os.set_inheritable(fd, True)
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", " ".join(["exec", str(home.path / "bin/qmail-send"), *arguments, *wiring])],
            pass_fds=theirs, env={**os.environ, "QMAILQUEUE": str(home.fake_queue)})
        for fd in (*theirs, requests, answers):
            os.close(fd)
        self.ours, self.width = ours, width
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.read_log, daemon=True)] + [
            threading.Thread(target=self.spawner, args=args, daemon=True)
            for args in (("local", 1, 2, 1), ("remote", 3, 4, width))]
        for thread in self.threads:
            thread.start()

    def read_log(self):
        while data := os.read(self.ours[0], 65536):
            with self.changed:
                self.log += data
                self.changed.notify_all()

    def spawner(self, channel, orders, reports, width):
        reader = wire.OrderReader(width)
        while data := os.read(self.ours[orders], 65536):
            for order in reader.feed(data):
                with self.changed:
                    self.orders.append((channel, order))
                    self.changed.notify_all()
                text = self.decide(channel, order.recipient)
                if text is not None:
                    self.delivered.append((order.messid, order.recipient))
                    try:
                        os.write(self.ours[reports], wire.report(order.delnum, text, width))
                    except BrokenPipeError:
                        return

    def wait_log(self, text, count=1):
        with self.changed:
            assert self.changed.wait_for(lambda: self.log.count(text) >= count, PATIENCE), self.log[-2000:]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)
        self.clean.wait(PATIENCE)
        for fd in self.ours.values():
            os.close(fd)
        return code


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_from_todo_to_the_end_and_out(home):
    number = home.arrive(b"s@a", [b"joe@me.example", b"x@r.example"])
    running = Running(home, lambda channel, recipient: b"Kok\n" if channel == "local" else b"Dno\n")
    running.wait_log(b"end msg %d\n" % number)
    home.arrive(b"s@a", [b"ann@me.example"])
    home.pull()
    running.wait_log(b"end msg", 2)
    assert running.end() == 0
    assert running.log.endswith(b"status: exiting\n")
    assert home.files() == []
    assert (home.path / "bounces").read_bytes() == b"F\0Ts@a\0\0\n"


def test_wide_remote(home):
    (home.path / "control/concurrencyremote").write_bytes(b"1000\n")
    recipients = [b"u%d@r.example" % number for number in range(600)]
    home.arrive(b"s@a", recipients)
    running = Running(home, lambda channel, recipient: None, ["--wide-remote"], width=2, limit=600)
    running.wait_log(b"status: local 0/10 remote 600/600\n")
    with running.changed:
        running.changed.wait_for(lambda: len(running.orders) == 600, PATIENCE)
    assert sorted(order.delnum for _, order in running.orders) == list(range(600))
    running.end(signal.SIGKILL)


def test_a_stream_of_new_mail_does_not_hold_up_deliveries(home):
    """A queued message is delivered although todo never gets empty."""
    for _ in range(300):
        home.arrive(b"s@a", [b"later@r.example"])
    first = home.arrive(b"s@a", [b"joe@me.example"])
    running = Running(home, lambda channel, recipient: b"Kok\n")
    running.wait_log(b"end msg %d\n" % first)
    running.wait_log(b"end msg", 301)
    assert running.end() == 0
    assert home.files() == []


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_nothing_is_lost(home, seed):
    """Every recipient gets the message at least once, every failure is bounced, nothing stays behind."""
    chance = random.Random(seed)
    messages = {}
    for count in range(120):
        recipients = [b"u%d@%b" % (count * 10 + n, chance.choice([b"me.example", b"r.example", b"bad.example"]))
                      for n in range(chance.randrange(1, 4))]
        messages[home.arrive(b"s%d@a" % count, recipients)] = recipients
    delivered = set()

    def decide(channel, recipient):
        return b"Dno\n" if recipient.endswith(b"@bad.example") else b"Kok\n"
    for delay in [chance.uniform(0.03, 0.15) for _ in range(6)]:
        running = Running(home, decide)
        select.select([], [], [], delay)        # anywhere between its start and its work being done
        running.end(signal.SIGKILL)
        delivered.update(running.delivered)
    running = Running(home, decide)
    running.wait_log(b"status: local")
    deadline = time.monotonic() + PATIENCE
    while home.unfinished() and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
    assert running.end() == 0
    delivered.update(running.delivered)
    assert home.unfinished() == []
    assert delivered == {(b"%d/%d" % (number % names.SPLIT, number), recipient)
                         for number, recipients in messages.items() for recipient in recipients}
    bounces = (home.path / "bounces").read_bytes()
    for count, recipients in enumerate(messages.values()):
        assert (b"Ts%d@a\0" % count in bounces) == any(one.endswith(b"@bad.example") for one in recipients)
