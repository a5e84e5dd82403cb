"""Load runs and verifications, one after the other, and what came out altogether."""
import collections
import concurrent.futures
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import threading
import time

from tests.powercut import disk, world

BATCH = 50                          # cuts of one load run; then the disk is a fresh one
SOON = 0.5                          # of the cuts come shortly after a promise
SHARED_MEMORY = "/dev/shm"
ENOUGH = 3 << 30                    # bytes free there: the images are kept in memory
SHOWN = 20                          # losses in a report
WITHIN = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


def in_namespaces(parent, words):
    """Run `python -m tests.powercut WORDS --within PLACE BACKING` in mount and pid namespaces, PLACE a new directory
    in `parent`; its status. However this ends, nobody runs on, nothing stays mounted, no file is left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        place = tempfile.mkdtemp(prefix="pyqmail-powercut.", dir=parent)
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        os.chmod(place, 0o755)
        memory = os.path.isdir(SHARED_MEMORY) and shutil.disk_usage(SHARED_MEMORY).free > ENOUGH
        fd, backing = tempfile.mkstemp(prefix="pyqmail-powercut.", dir=SHARED_MEMORY if memory else place)
        os.close(fd)
        stack.callback(os.unlink, backing)
        stack.callback(detach, place, backing)
        command = [*WITHIN, sys.executable, "-m", "tests.powercut", *words, "--within", place, backing]
        process = subprocess.Popen(command, cwd=world.ROOT)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process.wait()


def detach(*paths):
    """Loop devices that nobody would let go any more."""
    listed = disk.run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").stdout.decode()
    for line in listed.splitlines():
        name, _, backing = line.partition(" ")
        if backing.strip().startswith(paths):
            subprocess.run(["losetup", "--detach", name], capture_output=True)


class Report:
    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8") if path else None

    def say(self, text):
        for stream in filter(None, (sys.stdout, self.file)):
            print(time.strftime("%H:%M:%S"), text, file=stream, flush=True)


class Total:
    """Counters over many cuts; add() is for several threads."""

    def __init__(self):
        self.lock, self.cuts, self.runs, self.seconds, self.back = threading.Lock(), 0, 0, 0.0, 0
        self.promised, self.expected, self.twice, self.broken = (collections.Counter() for _ in range(4))
        self.lost, self.damaged, self.again, self.troubles = [], [], [], collections.Counter()

    @property
    def wrong(self):
        return self.lost + self.damaged + self.again

    def add(self, verdict):
        with self.lock:
            self.cuts += 1
            for name in ("promised", "expected", "twice", "broken"):
                getattr(self, name).update(verdict.get(name, {}))
            for name in ("lost", "damaged", "again"):
                getattr(self, name).extend(verdict.get(name, []))
            self.back += verdict.get("back", 0)

    def text(self, what):
        def table(counter):
            return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()) if count) or "none"
        lines = [f"{what}: {self.cuts} cuts in {self.runs} runs, {self.seconds:.0f} s",
                 f"  promises (a cut counts all before it): {sum(self.promised.values())}: {table(self.promised)}",
                 f"  of messages, places to be in: {sum(self.expected.values())}: {table(self.expected)}",
                 f"  lost: {len(self.lost)}; damaged: {len(self.damaged)}; twice in a Maildir: {len(self.again)}",
                 f"  promises broken: {table(self.broken)}",
                 f"  more than once (a copy that a reader took counts): {sum(self.twice.values())}: "
                 f"{table(self.twice)}",
                 f"  deleted by POP3 and back again: {self.back}"]
        for word, found in (("LOST", self.lost), ("NOT WHOLE", self.damaged), ("TWICE", self.again)):
            kinds = collections.Counter(re.sub(r"\d+", "N", line) for line in found)
            lines += [f"    {word}, {count} times: {line}" for line, count in kinds.most_common(SHOWN)]
        lines += [f"    not promised, {count} times: {line}" for line, count in self.troubles.most_common(5)]
        return "\n".join(lines)


def summary(totals):
    """The table for doc/RELIABILITY.md. totals: {kind of file system: Total}."""
    def line(what, value):
        return f"| {what} | " + " | ".join(value(total) for total in totals.values()) + " |"

    def count(number):
        return f"{number:,}"

    def counters(name, mark):
        keys = sorted({key for total in totals.values() for key, number in getattr(total, name).items() if number})
        return [line(f"{mark}{key}", lambda total: count(getattr(total, name)[key])) for key in keys]
    wrong = ("lost", "damaged", "again")
    return "\n".join([
        "| | " + " | ".join(totals) + " |", "|---" * (1 + len(totals)) + "|",
        line("cuts, load runs", lambda total: f"{count(total.cuts)}, {total.runs}"),
        line("minutes", lambda total: f"{total.seconds / 60:.0f}"),
        line("promises", lambda total: count(sum(total.promised.values()))),
        *counters("promised", "promises: "),
        line("places where a message must be", lambda total: count(sum(total.expected.values()))),
        *(line(what, lambda total: f"**{len(getattr(total, name))}**")
          for what, name in zip(("lost", "not whole", "twice in one Maildir"), wrong)),
        *counters("broken", "broken: "),
        *counters("twice", "again, or also with the reader who was taking it: "),
        line("deleted with a promise and back again", lambda total: count(total.back))])


class Harness:
    """Everything lies below the directory `place`, the images in the file `backing`. parallel: verifications at
    once. full: after every which cut all services are started and tried."""

    def __init__(self, place, backing, parallel=2, full=25):
        self.place, self.full, self.templates, self.jobs = place, full, {}, itertools.count()
        self.pool = concurrent.futures.ThreadPoolExecutor(parallel)
        self.images = f"{place}/images"
        os.mkdir(self.images)
        disk.store(backing, self.images)
        self.world = world.World(place)
        self.world.prepare(libraries(place))
        self.world.add_code("good")

    def template(self, kind):
        """An image with a fresh installation."""
        if kind not in self.templates:
            path = f"{self.images}/{kind}"
            self.wait(self.world.begin(["build", kind, path]))
            self.templates[kind] = path
        return self.templates[kind]

    def wait(self, process):
        if process.wait():
            raise RuntimeError(f"{process.args} ended with status {process.returncode}")

    def job(self, verb, **about):
        """Have inside.py do it; its report."""
        path = f"{self.place}/job{next(self.jobs)}"
        with open(path, "w", encoding="ascii") as f:
            json.dump(about, f)
        self.wait(self.world.begin([verb, path]))
        with open(f"{path}.report", encoding="ascii") as f:
            report = json.load(f)
        os.unlink(path)
        os.unlink(f"{path}.report")
        return report

    def run(self, kind, cuts, total, code="good", soon=SOON, all_of_it=True, **load):
        """One load run with so many cuts, and their verification; True if nothing is wrong. all_of_it: False to look
        no further once something is."""
        began = time.monotonic()
        template, number = self.template(kind), next(self.jobs)
        image, ledger = f"{self.images}/run{number}", f"{self.place}/ledger{number}"
        disk.copy(template, image)
        done = self.job("load", kind=kind, image=image, ledger=ledger, code=code, cuts=cuts, soon=soon, load=load)
        total.runs += 1
        total.troubles.update(done["troubles"])

        def verify(number, cut):
            try:
                if all_of_it or not total.wrong:
                    total.add(self.job("verify", kind=kind, ledger=ledger, cut=cut,
                                       all=number % self.full == self.full - 1))
            finally:
                os.unlink(cut["image"])
        list(self.pool.map(verify, range(len(done["cuts"])), done["cuts"]))
        os.unlink(image)
        os.unlink(ledger)
        total.seconds += time.monotonic() - began
        return not total.wrong

    def cut(self, kind, cuts, say=lambda text: None):
        """The whole load, so many cuts."""
        total = Total()
        while total.cuts < cuts:
            self.run(kind, min(BATCH, cuts - total.cuts), total)
            say(f"{kind}: {total.cuts} cuts, {sum(total.promised.values())} promises, {len(total.lost)} lost, "
                f"{len(total.damaged)} damaged, {sum(total.twice.values())} more than once")
        return total

    def seed(self, bug, say=lambda text: None):
        """The Total with the loss that a seeded bug brings, as far as that is found: not a cut more than it takes."""
        self.world.add_code(bug.name, bug.apply)
        total = Total()
        for _ in range(bug.tries):
            if not self.run(bug.kind, bug.cuts, total, code=bug.name, soon=bug.soon, all_of_it=False, **bug.load):
                break
        say(f"seeded {bug.name}: {total.cuts} cuts, {len(total.lost)} lost, {len(total.damaged)} damaged"
            + "".join(f"\n    {line}" for line in total.wrong[:3]))
        return total


def libraries(place):
    """A virtual environment, as far as the installation needs one, that every user can read."""
    venv = f"{place}/libraries"
    version = "python%d.%d" % sys.version_info[:2]
    for source in filter(os.path.isdir, site.getsitepackages()):
        shutil.copytree(source, f"{venv}/lib/{version}/site-packages", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("pip*", "setuptools*", "_pytest", "hypothesis", "__pycache__"))
    disk.run("chmod", "-R", "a+rX", venv)
    return venv
