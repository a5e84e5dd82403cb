"""The running system in its namespaces, and what the extremes ask of it."""
import contextlib
import glob
import os
import shutil
import subprocess
import threading
import time
from types import SimpleNamespace

from tests.conftest import System
from tests.peers import proc
from tests.powercut import disk, world
from tests.system.conftest import Mail

PATIENCE = 900                      # s; something that takes longer is stuck
JOE, SUE = f"joe@{world.DOMAIN}", f"sue@{world.DOMAIN}"
ANN = f"ann@{world.VIRTUAL}"
LOOK_EVERY = 0.5                    # s


class Broken(Exception):
    """Something is not as promised."""


class Table:
    """What came out: figure(what, value, bar) and wrong(text), for the part at(name)."""

    def __init__(self, path=None):
        self.file = open(path, "w", encoding="utf-8") if path else None
        self.name, self.failures = "", []

    def at(self, name):
        self.name = name

    def figure(self, what, value, bar=""):
        self.say(f"{self.name:<11}{what:<64}{value:>18}{'  ' + bar if bar else ''}")

    def wrong(self, text):
        self.failures.append(f"{self.name}: {text}")
        self.say(f"{self.name:<11}WRONG: {text}")

    def expect(self, fine, text):
        if not fine:
            self.wrong(text)

    def say(self, text):
        print(text, flush=True)
        if self.file:
            print(text, file=self.file, flush=True)


class Site(Mail):
    """Mail as tests/system has it, for the system of a World that we are in."""

    services = 6

    def __init__(self, place):
        super().__init__(System(place.home, world.SMTP, world.POP3))
        self.world = place

    def start(self):
        _, said = self.ctl("start")         # on a slow machine it may give up before the last one answers
        try:
            self.up()
        except AssertionError as why:
            logs = "".join(f"{name}:\n{self.log(name)[-1000:]}" for name in ("send", "smtpd", "pop3d"))
            raise Broken(f"{said}\n{why}\n{logs}") from why

    def smtp(self, **options):
        return super().smtp(**{"timeout": PATIENCE, **options})

    def stop(self):
        self.world.must("qmailctl", "stop")

    @contextlib.contextmanager
    def running(self, **controls):
        """The system is up, with these control files and a new log."""
        for path in glob.glob(f"{self.home}/log/send/*"):
            os.unlink(path)
        for name, content in controls.items():
            self.control(name, content)
        self.start()
        try:
            yield
        finally:
            self.stop()
            self.undo()

    def code(self, name):
        """Run another copy of the programs, from the next start on."""
        disk.run("umount", self.world.code)
        disk.run("mount", "--bind", f"{self.world.place}/codes/{name}", self.world.code)

    def until(self, ready, what, seconds=PATIENCE):
        found = world.until(ready, seconds, 0.05)
        if not found:
            raise Broken(f"waited {seconds} s in vain: {what}\n{self.ctl('queue')[1][-1000:]}\n{self.log()[-3000:]}")
        return found

    # ------------------------------------------------------------ people

    def mailbox(self, who):
        """The Maildir of joe, sue, ann or alias."""
        if who == "ann":
            return f"{self.world.vpop}/domains/{world.VIRTUAL}/ann/Maildir"
        return f"{self.home}/alias/Maildir" if who == "alias" else f"{self.world.homes}/{who}/Maildir"

    def arrived(self, who):
        """How many messages there are."""
        where = self.mailbox(who)
        return sum(len(os.listdir(f"{where}/{part}")) for part in ("new", "cur"))

    def texts(self, who):
        where = self.mailbox(who)
        for part in ("new", "cur"):
            for name in os.listdir(f"{where}/{part}"):
                with open(f"{where}/{part}/{name}", "rb") as f:
                    yield f.read()

    def empty(self, *people):
        for who in people:
            for part in ("new", "cur"):
                directory = f"{self.mailbox(who)}/{part}"
                for name in os.listdir(directory):
                    os.unlink(f"{directory}/{name}")

    def dotqmail(self, who, extension, content):
        where = f"{self.home}/alias" if who == "alias" else f"{self.world.homes}/{who}"
        path = f"{where}/.qmail-{extension}"
        with open(path, "w", encoding="utf-8") as f:
            f.write(content)
        status = os.stat(where)
        os.chown(path, status.st_uid, status.st_gid)

    def by_sendmail(self, who, *arguments, **options):
        return self.sendmail(SimpleNamespace(name=who), *arguments, **options)

    def by_queue(self, sender, recipients, text):
        """bin/qmail-queue with this envelope, run by root; its exit code. recipients: an iterable of str."""
        message, envelope = f"{self.world.place}/message", f"{self.world.place}/envelope"
        with open(message, "wb") as f:
            f.write(text)
        with open(envelope, "wb") as f:
            f.write(b"F%b\0" % sender.encode() + b"".join(b"T%b\0" % one.encode() for one in recipients) + b"\0")
        with open(message, "rb") as text, open(envelope, "rb") as addresses:
            return subprocess.run([f"{self.home}/bin/qmail-queue"], stdin=text, stdout=addresses,
                                  timeout=PATIENCE).returncode

    def is_empty(self):
        return not self.in_queue()


class Peaks:
    """The most memory that each program's processes had (VmHWM), while this context lasts. {program: kB}"""

    def __init__(self, home):
        self.home, self.found, self.over = home, {}, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _watch(self):
        while not self.over.wait(LOOK_EVERY):
            self.look()
        self.look()

    def look(self):
        for process in proc.of(self.home):
            with contextlib.suppress(KeyError):
                name = process.program
                kilobytes = int(process.status["VmHWM"].split()[0])
                self.found[name] = max(self.found.get(name, 0), kilobytes)

    def tell(self, table, limit):
        """Into the table; more than `limit` MB is wrong."""
        for name, kilobytes in sorted(self.found.items()):
            table.figure(f"  peak of a process: {name}", f"{kilobytes / 1024:.0f} MB")
            table.expect(kilobytes / 1024 <= limit, f"{name} took {kilobytes / 1024:.0f} MB, more than {limit}")


def free(path):
    """Bytes."""
    return shutil.disk_usage(path).free


@contextlib.contextmanager
def stopwatch():
    """Yields a list that holds the seconds afterwards."""
    taken, began = [], time.monotonic()
    yield taken
    taken.append(time.monotonic() - began)
