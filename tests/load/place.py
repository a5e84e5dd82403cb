"""The system under load, in namespaces of its own (tests/powercut/world.py), and what can be measured of it."""
import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time

from tests.peers import proc
from tests.powercut import disk, world

SMTP, POP3 = world.SMTP, world.POP3
JOE, SUE = f"joe@{world.DOMAIN}", f"sue@{world.DOMAIN}"
TOLD = 50_000                       # bytes of qmail-send's log: some hundred deliveries
LENGTH = 2000                       # bytes of an ordinary message
WARM = 80                           # messages until everything is as it is after many
OLD = 1_000_000_000                 # POP3 shows no message of this very second
PATIENCE = 120                      # s for anything to be done
NETWORK = "10.77.0.0/16"            # strangers' addresses: loopback is not counted for limits


class Place:
    """world: a World that was entered and installed. Nothing runs before start()."""

    def __init__(self, place):
        self.world, self.home = place, place.home
        disk.run("ip", "route", "add", "local", NETWORK, "dev", "lo")
        self.sent, self.controls, self.rate = {"joe": 0, "sue": 0}, None, 0

    def control(self, **files):
        """Write control files; None takes one away."""
        for name, content in files.items():
            path = f"{self.home}/control/{name}"
            if content is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                continue
            with open(path, "w", encoding="ascii") as f:
                f.write(f"{content}\n")

    def start(self, **controls):
        """Everything runs with these control files (None: without); returns when both ports answer."""
        if controls == self.controls:
            return
        self.control(**{**dict.fromkeys(self.controls or ()), **controls})
        if self.controls is not None:
            self.world.must("qmailctl", "stop")
        self.controls = controls
        done = self.world.run("qmailctl", "start")
        if done.returncode:
            raise RuntimeError(f"{done.stdout.decode()}{done.stderr.decode()}{self.log('send')}{self.log()}")
        for port, word in ((SMTP, b"220"), (POP3, b"+OK")):
            self.until(lambda port=port, word=word: greeting(port).startswith(word), f"port {port}")
        self.empty("joe", "sue")
        self.rate, _ = self.mail(WARM)      # what is opened once and kept is open now

    @staticmethod
    def until(ready, what, seconds=PATIENCE, pause=0.02):
        found = world.until(ready, seconds, pause)
        if not found:
            raise RuntimeError(f"waited in vain: {what}")
        return found

    # ------------------------------------------------------------ mail

    def source(self, count, sessions=20, to=JOE):
        """Postfix's smtp-source, started, with so many ordinary messages."""
        self.sent[to.partition("@")[0]] += count
        return subprocess.Popen(["smtp-source", "-s", str(sessions), "-m", str(count), "-l", str(LENGTH), "-f",
                                 "sender@far.example", "-t", to, f"127.0.0.1:{SMTP}"], stdin=subprocess.DEVNULL)

    def delivered(self, name):
        """How many messages lie in somebody's Maildir."""
        return len(os.listdir(f"{self.world.homes}/{name}/Maildir/new"))

    def all_delivered(self, name="joe"):
        return self.delivered(name) >= self.sent[name]

    def mail(self, count):
        """So many ordinary messages: how many a second, from the first one's connection to the last one's delivery, and
        ms of processor time of each, of all our processes."""
        self.empty("joe")
        began, used = time.monotonic(), self.processor()
        source = self.source(count)
        if source.wait(PATIENCE):
            raise RuntimeError(f"smtp-source: status {source.returncode}\n{self.log()}")
        self.until(self.all_delivered, "delivery", pause=0.01)
        return count / (time.monotonic() - began), 1000 * (self.processor() - used) / count

    def empty(self, *names):
        """Maildirs without a message, so that looking at them costs the same in each round."""
        for name in names:
            where = f"{self.world.homes}/{name}/Maildir/new"
            for entry in os.listdir(where):
                os.unlink(f"{where}/{entry}")
            self.sent[name] = 0

    def quiet(self):
        """Wait until the queue is empty."""
        self.until(lambda: b"messages in queue: 0\n" in self.world.run("qmail-qstat").stdout, "an empty queue",
                   pause=0.2)

    def log(self, name="smtpd", last=3000):
        """The last bytes of a log, as text."""
        try:
            with open(f"{self.home}/log/{name}/current", encoding="utf-8", errors="replace") as f:
                return f.read()[-last:]
        except FileNotFoundError:
            return "no log"

    def virtual_mail(self, user):
        """One message in a virtual user's mailbox: an old one, and seen, so that no session moves it."""
        where = f"{self.world.vpop}/domains/{world.VIRTUAL}/{user.partition('@')[0]}/Maildir"
        if not os.listdir(f"{where}/cur"):
            self.world.must("qmail-inject", user, input=b"Subject: to be read\n\nfor you\n")
            [name] = self.until(lambda: os.listdir(f"{where}/new"), f"mail for {user}")
            os.utime(f"{where}/new/{name}", (OLD, OLD))
            os.rename(f"{where}/new/{name}", f"{where}/cur/{name}:2,S")

    # ------------------------------------------------------------ the queue

    @contextlib.contextmanager
    def deliveries_stopped(self):
        """qmail-lspawn does nothing until go_on()."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.go_on()

    def go_on(self):
        self.signal(signal.SIGCONT)

    def signal(self, number):
        for process in self.processes("qmail-lspawn"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def preprocessed(self):
        self.until(lambda: not os.listdir(f"{self.home}/queue/todo"), "an empty todo", pause=0.1)

    @contextlib.contextmanager
    def flooded(self):
        """Messages for sue as fast as they are taken, by SMTP and by qmail-inject."""
        by_smtp = self.source(1_000_000, to=SUE)
        script = f"while :; do echo Subject: flood | {self.home}/bin/qmail-inject {SUE}; done"
        by_hand = subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL, user=self.world.uid("joe"),
                                   group=self.world.uid("joe"), extra_groups=[])
        try:
            yield
        finally:
            for process in (by_smtp, by_hand):
                process.kill()
                process.wait()
            self.sent["sue"] = 0

    def places_used(self):
        """The mean of the local deliveries under way in the last lines of the log that tell of them."""
        found = re.findall(r" status: local (\d+)/", self.log("send", TOLD))
        return sum(map(int, found)) / max(1, len(found))

    # ------------------------------------------------------------ processes

    def processes(self, program=None):
        return proc.of(self.home, program)

    def processor(self):
        """Seconds of processor time that our processes have used so far, those that have ended included."""
        ticks = 0
        for process in self.processes():
            with contextlib.suppress(OSError), open(f"/proc/{process.pid}/stat", encoding="utf-8") as f:
                ticks += sum(map(int, f.read().rpartition(")")[2].split()[11:15]))      # its own, its children's
        return ticks / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        """{program: open descriptors of all its processes}, of those that clients can reach."""
        found = {}
        for process in self.processes():
            if process.program in ("qmail-smtpd", "qmail-popup", "qmail-queue"):
                found[process.program] = found.get(process.program, 0) + len(process.fds)
        return found

    def settled(self, before):
        """Wait until there are no more descriptors than before; the counts."""
        self.until(lambda: all(self.descriptors().get(name, 0) <= count for name, count in before.items()),
                   f"descriptors come back to {before}: {self.descriptors()}", 60)
        return self.descriptors()

    def memory(self, program="qmail-smtpd"):
        """MB (PSS) of each process of a program, the largest first."""
        return sorted((pss(process.pid) for process in self.processes(program)), reverse=True)


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.MULTILINE)[1]) / 1024


def greeting(port, address="127.0.0.1"):
    """What a server says first; b"" if nobody is there."""
    try:
        with socket.create_connection((address, port), PATIENCE) as sock:
            return sock.recv(200)
    except OSError:
        return b""


class Clients:
    """tests/load/clients.py, as a context manager: they are all there inside of it. told: afterwards, what they say
    of themselves."""

    def __init__(self, kind, count, port=SMTP):
        self.words, self.told = [kind, str(count), str(port)], None

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-m", "tests.load.clients", *self.words], cwd=world.ROOT,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.line()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.told = json.loads(self.line())
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def line(self):
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise RuntimeError(f"clients {self.words} are silent")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"clients {self.words} are gone")
        return line
