#!/usr/bin/env python3
"""The account store with very many users in one domain.

    benchmarks/virtual_accounts.py --home QMAILHOME [--users 100000] [--rounds 30] [--postgres]

In a temporary private home, with the code and libraries of --home:
- vadduser, the whole program with its default hash, in a domain of so many users, names at random places: time on
  the wall and of the processor; the same with both files made anew, as the original does: what writing them alone
  costs, and what compiling them costs here;
- users made from a file, without passwords to hash (a SHA-512 hash alone takes longer than all the rest) and with MD5;
- logins with MD5 hashes, look-up and check in one process, through each back end; --postgres starts a PostgreSQL of
  Debian for that;
- vconvert, there and back, with its comparison.
What is measured on a machine that does something else says little: the load is printed. On ext4 nothing large may
have been removed within the last minute: the file system then looks, for each new directory, at all inodes that it
must not use again yet, and five directories for each user take up to ten times as long. The same number of directories
made without any program of ours says what the machine can do. Root is nobody here.
"""
import argparse
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOBODY = 65534
DOMAIN = "big.example"
CHECKED = 4000


class Home:
    """A private home with the domain."""

    def __init__(self, source, users):
        self.path = tempfile.mkdtemp(prefix="virtual-accounts.", dir=os.path.dirname(os.path.abspath(source)))
        os.chmod(self.path, 0o755)
        self.vpop, self.directory = f"{self.path}/vpopmail", f"{self.path}/vpopmail/domains/{DOMAIN}"
        for name in ("users", "control", "run", "vpopmail/etc", "vpopmail/db", f"vpopmail/domains/{DOMAIN}"):
            os.makedirs(f"{self.path}/{name}")
        shutil.copytree(f"{source}/bin", f"{self.path}/bin")
        for name in ("pyqmail", "venv", "pyproject.toml"):
            os.symlink(os.path.realpath(f"{source}/{name}"), f"{self.path}/{name}")
        self.uid = NOBODY if os.getuid() == 0 else os.getuid()
        self.gid = NOBODY if os.getuid() == 0 else os.getgid()
        self.write("vpopmail/etc/vlimits.default", "")
        self.write("users/assign", f"+{DOMAIN}-:{DOMAIN}:{self.uid}:{self.gid}:{self.directory}:-::\n.\n")
        self.write("control/me", "a.example\n")
        self.own()
        self.run("qmail-newu")
        self.fill(users)

    def write(self, name, text):
        with open(f"{self.path}/{name}", "w", encoding="utf-8") as f:
            f.write(text)

    def own(self):
        if os.getuid() == 0:
            subprocess.run(["chown", "-Rh", f"{self.uid}:{self.gid}", self.path], check=True)

    def fill(self, users):
        """vpasswd with names that differ early, as names of people do; all with the password `secret`."""
        from pyqmail.auth import hashes
        hashed = hashes.crypt(b"secret", b"$1$abcdefgh$").decode()
        rest = random.Random(1)
        self.names = sorted({f"{''.join(rest.choices('abcdefghijklmnopqrstuvwxyz', k=6))}{n}" for n in range(users)})
        self.write(f"vpopmail/domains/{DOMAIN}/vpasswd", "".join(
            f"{name}:{hashed}:1:0:{name}:{self.directory}/0/{name}:NOQUOTA\n" for name in self.names))
        self.own()
        self.run("vmkpasswd", DOMAIN)

    def run(self, program, *words, **more):
        who = {"user": self.uid, "group": self.gid, "extra_groups": []} if os.getuid() == 0 else {}
        return subprocess.run([f"{self.path}/bin/{program}", *words], check=True, cwd="/", **who, **more)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def load():
    with open("/proc/loadavg", encoding="ascii") as f:
        return f.read().split()[0]


def say(what, figure):
    print(f"{what:64} {figure}   (load {load()})", flush=True)


def one_by_one(home, rounds):
    rest, wall, cpu = random.Random(), [], []
    for number in range(rounds):
        name = f"{''.join(rest.choices('abcdefghijklmnopqrstuvwxyz', k=6))}x{number}"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        home.run("vadduser", f"{name}@{DOMAIN}", "secret")
        wall.append(1000 * (time.perf_counter() - start))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    for what, found in (("wall", wall), ("processor", cpu)):
        figures = " ".join(f"{f(found):.1f}" for f in (min, statistics.median, max))
        say(f"vadduser, {what}: min, median, max", f"{figures} ms")


def as_the_original(home, rounds=5):
    """What making both files anew costs for one user."""
    from pyqmail.base import cdb
    from pyqmail.vpopmail import files
    from pyqmail.vpopmail.account import split
    os.chdir(home.directory)
    writing, compiling = [], []
    for _ in range(rounds):
        vpasswd, made = files.read(b"vpasswd"), files.read(b"vpasswd.cdb")
        start = time.perf_counter()
        files.write(b"one", vpasswd, 0o600)
        files.write(b"two", made, 0o600)
        writing.append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
        with open("two", "w+b") as f:
            cdb.write(f.fileno(), (split(line) for line in vpasswd.split(b"\n") if line))
        compiling.append(1000 * (time.perf_counter() - start))
        os.unlink("one")
        os.unlink("two")
    os.chdir("/")
    say("writing both files anew, already computed: median", f"{statistics.median(writing):.1f} ms")
    say("compiling and writing vpasswd.cdb anew, here: median", f"{statistics.median(compiling):.1f} ms")


def directories_alone(home, count):
    """What the file system takes for the directories of so many users."""
    os.mkdir(f"{home.path}/alone")
    start, spent = time.perf_counter(), time.process_time()
    for number in range(count):
        if number % 100 == 0:
            place = f"{home.path}/alone/{number // 100}"
            os.mkdir(place)
        for name in ("", "/Maildir", "/Maildir/tmp", "/Maildir/new", "/Maildir/cur"):
            os.mkdir(f"{place}/{number}{name}", 0o700)
        with open(f"{place}/{number}/lastauth", "wb", buffering=0) as f:
            f.write(b"0.0.0.0")
    wall, spent = time.perf_counter() - start, time.process_time() - spent
    say(f"directories of {count} users and nothing else", rates(count, wall, spent))


def rates(count, wall, spent):
    return f"{count / wall:.0f} users/s, {count / spent:.0f} a second of the processor"


def many(home, count, hashed):
    kind = "hashes given" if hashed else "MD5"
    home.write("vpopmail/options", "password-hash md5\n")
    home.write("list", "".join(f"many{hashed:d}{number}:{'$1$abcdefgh$x' if hashed else 'secret'}\n"
                               for number in range(count)))
    os.chmod(f"{home.path}/list", 0o644)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    home.run("vadduser", *(["-E"] if hashed else []), "-F", f"{home.path}/list", DOMAIN, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    say(f"vadduser -F, {count} users with directories, {kind}", rates(count, wall, spent))


LOGINS = """
import os, random, sys, time
sys.path[:0] = {paths!r}
from pyqmail.vpopmail import home, login
from pyqmail.base import home as qmailhome
qmailhome.HOME = {home!r}
names = random.Random(2).choices({names!r}, k={count})
def check(name):
    found = login.check(b"%b@{domain}" % name.encode(), b"secret", b"", login.IMAP, b"192.0.2.1")
    assert found.account.hash
check(names[0])
start, spent = time.perf_counter(), time.process_time()
for name in names:
    check(name)
wall = time.perf_counter() - start
print(round({count} / wall), "a second,", round({count} / (time.process_time() - spent)), "a second of the processor")
"""


def logins(home, kind):
    code = LOGINS.format(paths=[home.path, *sys.path], home=home.path, names=home.names[::37], count=CHECKED,
                         domain=DOMAIN)
    who = {"user": home.uid, "group": home.gid, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/", **who)
    say(f"logins checked, {kind}", done.stdout.strip())


def move(home, words, kind):
    start = time.perf_counter()
    home.run("vconvert", *words, DOMAIN, stdout=subprocess.DEVNULL)
    say(f"vconvert {' '.join(words)}, {kind}", f"{time.perf_counter() - start:.1f} s")


def in_sql(home, url, kind):
    home.run("qmailctl", "vpopmail", "--sql", input=url.encode() + b"\n", stdout=subprocess.DEVNULL)
    move(home, ("-c", "-m"), kind)
    logins(home, kind)
    move(home, ("-m", "-c"), kind)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--home", required=True)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    sys.path[:0] = [ROOT, *(f"{options.home}/venv/lib/{name}/site-packages"
                            for name in os.listdir(f"{options.home}/venv/lib"))]
    home = Home(options.home, options.users)
    try:
        say("users in the domain", len(home.names))
        one_by_one(home, options.rounds)
        as_the_original(home)
        logins(home, "files")
        directories_alone(home, options.users // 5)
        for hashed in (True, False):
            many(home, options.users // 5, hashed)
        in_sql(home, f"sqlite:///{home.vpop}/db/accounts", "SQLite")
        if options.postgres:
            from tests.peers.postgres import Postgres
            with Postgres() as server:
                in_sql(home, server.url, "PostgreSQL")
    finally:
        home.remove()


if __name__ == "__main__":
    main()
