#!/usr/bin/env python3
"""Deliveries to random users of a large virtual domain, beside those to a system user, through the same queue.

    benchmarks/virtual_delivery.py --home QMAILHOME [--users 100000] [--messages 1000] [--rounds 5]

Needs root and a running installation with virtual domains (qmailctl vpopmail). Makes a user of this machine and a
domain with so many users for the run. In each round qmail-send is stopped, the messages of 2,000 bytes, one recipient
each, are put into the queue, and the time is taken from qmail-send's going on until the queue is empty: once
with the system user as recipient of all of them, once with random users of the domain (who have their Maildirs
already: making one belongs to a first delivery). The order alternates; machines are noisy, so the ratio within a round
counts, and the median of the rounds. The processor time that the installation takes for a message is less noisy, and is
told as well.
"""
import argparse
import contextlib
import os
import pwd
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time

USER, DOMAIN = "qmbench", "virtual-bench.test"
SPLIT = 23
TEXT = b"Subject: benchmark\n\n" + b"x" * 63 * 31 + b"\n"
PATIENCE = 300                      # s for a round


class Installation:
    """A running pyqmail."""

    def __init__(self, home):
        self.home = home
        sys.path.insert(0, home)
        from pyqmail.queue import client            # of that installation, so that its queue is the one
        self.client = client

    def run(self, program, *words):
        return subprocess.run([f"{self.home}/bin/{program}", *words], check=True, capture_output=True, text=True).stdout

    def queue(self, recipient):
        with self.client.Submission() as submission:
            submission.put(TEXT)
            answer = submission.finish(b"", [recipient.encode()])
        if answer:
            sys.exit(f"not queued: {answer}")

    def empty(self):
        """True if nothing is in the queue."""
        return not any(os.listdir(f"{self.home}/queue/{name}") for name in
                       ("todo", *(f"{kind}/{n}" for n in range(SPLIT) for kind in ("info", "mess"))))

    def settle(self):
        end = time.monotonic() + PATIENCE
        while not self.empty():
            if time.monotonic() > end:
                sys.exit("the queue does not become empty")
            time.sleep(0.01)

    def processor(self):
        """Seconds of processor time that its processes, and those they have waited for, have used so far."""
        ticks = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f"{self.home}/bin/".encode() not in f.read():
                        continue
                with open(f"/proc/{pid}/stat", "rb") as f:
                    ticks += sum(map(int, f.read().rpartition(b")")[2].split()[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def seconds(self, recipients):
        """(seconds from qmail-send's going on until everything is delivered, those of processor time)."""
        self.settle()
        with open(f"{self.home}/run/send.pid", encoding="ascii") as f:
            sender = int(f.read().split()[0])
        os.kill(sender, signal.SIGSTOP)
        try:
            for recipient in recipients:
                self.queue(recipient)
            start, used = time.monotonic(), self.processor()
        finally:
            os.kill(sender, signal.SIGCONT)
        self.settle()
        return time.monotonic() - start, self.processor() - used


def make_maildir(path, uid, gid):
    for name in ("", "/tmp", "/new", "/cur"):
        os.mkdir(path + name, 0o700)
        os.chown(path + name, uid, gid)


@contextlib.contextmanager
def system_user():
    """An account with a Maildir; gone afterwards."""
    subprocess.run(["useradd", "--create-home", "--skel", "/nonexistent", USER], check=True)
    try:
        account = pwd.getpwnam(USER)
        make_maildir(f"{account.pw_dir}/Maildir", account.pw_uid, account.pw_gid)
        yield account
    finally:
        subprocess.run(["userdel", "--remove", "--force", USER], check=False, capture_output=True)


@contextlib.contextmanager
def domain(installation, users):
    """Its directory, with so many users u0, u1 … without directories of their own; gone afterwards."""
    installation.run("vadddomain", "-r", DOMAIN)
    try:
        directory = installation.run("vdominfo", "-d", DOMAIN).strip()
        about = os.stat(directory)
        lines = [f"u{n}:$1$x$y:1:0:u{n}:{directory}/u{n}:NOQUOTA:".removesuffix(":") for n in range(users)]
        with open(f"{directory}/vpasswd", "a", encoding="ascii") as f:
            f.write("".join(line + "\n" for line in sorted(lines)))
        installation.run("vmkpasswd", DOMAIN)
        yield directory, about.st_uid, about.st_gid
    finally:
        installation.run("vdeldomain", "-f", DOMAIN)


def chosen(directory, uid, gid, users, count):
    """So many random users, who get a directory with a Maildir."""
    found = random.sample(range(users), count)
    for number in found:
        path = f"{directory}/u{number}"
        os.mkdir(path, 0o700)
        os.chown(path, uid, gid)
        make_maildir(f"{path}/Maildir", uid, gid)
    return [f"u{number}@{DOMAIN}" for number in found]


def delivered(maildirs):
    return sum(len(os.listdir(f"{maildir}/new")) for maildir in maildirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--home", required=True, metavar="QMAILHOME", help="a running installation of pyqmail")
    parser.add_argument("--users", type=int, default=100_000, help="of the virtual domain")
    parser.add_argument("--messages", type=int, default=1000, help="of a round, for each kind")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    installation, ratios, costs, count = Installation(options.home), [], [], options.messages
    with open(f"{options.home}/control/me", encoding="ascii") as f:
        me = f.readline().strip()
    with system_user() as account, domain(installation, options.users) as (directory, uid, gid):
        people = chosen(directory, uid, gid, options.users, min(options.users, 5 * count))
        maildirs = [f"{directory}/{person.partition('@')[0]}/Maildir" for person in people]
        for number in range(options.rounds + 1):
            measure = {
                "system": lambda: installation.seconds([f"{USER}@{me}"] * count),
                "virtual": lambda: installation.seconds(random.choices(people, k=count)),
            }
            order = ("system", "virtual") if number % 2 else ("virtual", "system")
            took = {kind: measure[kind]() for kind in order}
            if number:              # the first round warms processes and caches
                (system, system_used), (virtual, virtual_used) = took["system"], took["virtual"]
                ratios.append(system / virtual)
                costs.append(system_used / virtual_used)
                print(f"round {number}: system user {count / system:.0f}/s, {1000 * system_used / count:.2f} ms each; virtual "
                      f"users {count / virtual:.0f}/s, {1000 * virtual_used / count:.2f} ms each; ratio {ratios[-1]:.2f}, of "
                      f"processor time {costs[-1]:.2f}", flush=True)
        expected, found = count * (options.rounds + 1), delivered(maildirs)
        if (found, delivered([f"{account.pw_dir}/Maildir"])) != (expected, expected):
            sys.exit(f"delivered {found} of {expected}")
        shutil.rmtree(f"{account.pw_dir}/Maildir")
    for what, values in (("ratio", ratios), ("ratio by processor time", costs)):
        print(f"{what}: median {statistics.median(values):.2f}, {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
