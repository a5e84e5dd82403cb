"""Programs that change virtual domains, killed at each of their steps: every file is the old one or the new one,
and the same command again does the rest.

A step is a system call that changes something. A few of them are tried; PYQMAIL_SWEEP=all tries every one.
"""
import os
import re
import shutil
import signal
import subprocess

import pytest

from tests.peers.virtual import PASSWORD

pytestmark = [pytest.mark.root, pytest.mark.system]

CALLS = ("rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,write,pwrite64,fsync,fdatasync,ftruncate,fchmod,"
         "chown,fchown,lchown,fchownat,link,linkat,symlink,copy_file_range,kill")
FEW = 3                                 # steps of each program that are tried unless all are
CONTROL = ("rcpthosts", "virtualdomains", "locals", "morercpthosts", "morercpthosts.cdb")
DOMAIN = ("vpasswd", "vpasswd.cdb", ".qmail-default")


@pytest.fixture(scope="module", autouse=True)
def strace():
    assert shutil.which("strace"), "apt-get install strace"


class Life:
    """One domain and one command that is to be killed. `again`: the exit codes that the same command may have
    afterwards."""

    again = {0}

    def __init__(self, virtual):
        self.virtual, self.name = virtual, virtual.new_name()
        self.directory = f"{virtual.place}/domains/{self.name}"
        self.prepare()

    def prepare(self):
        """What there is before."""
        self.virtual.add_domain(name=self.name)

    def whole(self):
        """Fails unless the command has done all."""

    # ------------------------------------------------------------ running

    def command(self, *before):
        return subprocess.run([*before, f"{self.virtual.home}/bin/{self.words[0]}", *self.words[1:]],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120)

    def steps(self, log):
        """The steps of the command, done whole: (name of the call, how many of that name)."""
        self.command("strace", "-f", "-qq", "-o", log, "-e", f"trace={CALLS}")
        found = []
        with open(log, encoding="utf-8", errors="replace") as f:
            for line in f:
                call = re.match(r"\d+ +(\w+)\(", line)
                if call:
                    found.append((call[1], sum(name == call[1] for name, _ in found) + 1))
        return found

    def kill_at(self, call, number):
        done = self.command("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                            f"inject={call}:signal=KILL:when={number}")
        return done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)

    # ------------------------------------------------------------ looking

    def files(self):
        """{path: content} of the files that are rewritten."""
        virtual = self.virtual
        paths = [f"{virtual.home}/control/{name}" for name in CONTROL]
        paths += [f"{virtual.home}/users/{name}" for name in ("assign", "cdb")]
        paths += [f"{self.directory}/{name}" for name in DOMAIN]
        paths += [f"{virtual.place}/etc/tcp.smtp.cdb"]
        return {path: content(path) for path in paths}

    def counts(self):
        """The first lines of the files that count domains and users; each must be whole."""
        found = {}
        for place in (f"{self.virtual.place}/domains", self.directory):
            text = content(f"{place}/.dir-control")
            if text is not None:
                assert len(text.split(b"\n")) == 9 and text.endswith(b"\n"), text
                found[place] = int(text.split(b"\n")[0])
        return found

    def login(self, user):
        """True if a user logs in; his directory is there then."""
        return vchkpw(self.virtual, f"{user}@{self.name}", program="test -d Maildir/new").returncode == 0

    def known(self, user):
        return self.virtual.command("vuserinfo", f"{user}@{self.name}").returncode == 0

    def mentioned(self):
        """Files in which the domain's name stands."""
        return [path for path, text in self.files().items() if text and self.name.encode() in text]


class NewDomain(Life):
    again = {0, 243}

    def prepare(self):
        self.words = ["vadddomain", self.name, PASSWORD]

    def whole(self):
        assert self.login("postmaster")
        assert {os.path.basename(path) for path in self.mentioned()} >= {
            "rcpthosts", "virtualdomains", "assign", "cdb", "vpasswd", "vpasswd.cdb"}


class NewAlias(Life):
    again = {0, 255}

    def prepare(self):
        real = self.virtual.add_domain()
        self.words = ["vaddaliasdomain", real, self.name]

    def whole(self):
        assert {os.path.basename(path) for path in self.mentioned()} == {"rcpthosts", "virtualdomains", "assign", "cdb"}


class GoneDomain(Life):
    again = {0, 245}

    def prepare(self):
        super().prepare()
        self.virtual.add_user(f"joe@{self.name}")
        self.words = ["vdeldomain", "-f", self.name]

    def whole(self):
        assert not os.path.exists(self.directory) and not self.mentioned()
        self.virtual.add_domain(name=self.name)
        assert self.login("postmaster") and not self.known("joe")


class NewUser(Life):
    again = {0, 255}

    def prepare(self):
        super().prepare()
        self.words = ["vadduser", f"joe@{self.name}", PASSWORD]

    def whole(self):
        assert self.login("joe") and self.login("postmaster")


class GoneUser(Life):
    again = {0, 246}

    def prepare(self):
        super().prepare()
        self.virtual.add_user(f"joe@{self.name}")
        with open(f"{self.directory}/joe/Maildir/new/1.1.host", "wb") as f:
            f.write(b"\nfor the first joe\n")
        self.words = ["vdeluser", f"joe@{self.name}"]

    def whole(self):
        assert not self.known("joe")
        self.virtual.add_user(f"joe@{self.name}")
        assert self.login("joe")
        assert os.listdir(f"{self.directory}/joe/Maildir/new") == []


class OpenRelay(Life):
    def prepare(self):
        super().prepare()
        self.ip = f"192.0.2.{os.urandom(1)[0] % 200 + 20}"

    def command(self, *before):
        return vchkpw(self.virtual, f"postmaster@{self.name}", before, TCPREMOTEIP=self.ip, TCPLOCALPORT="110")

    def whole(self):
        self.virtual.run("clearopensmtp")
        assert content(f"{self.virtual.place}/etc/open-smtp").count(self.ip.encode() + b":") == 1
        assert self.ip.encode() in content(f"{self.virtual.place}/etc/tcp.smtp.cdb")


def vchkpw(virtual, address, before=(), program="true", **environ):
    """A login, with the program that follows it."""
    words = " ".join((*map(str, before), f"{virtual.home}/bin/vchkpw", program))
    return subprocess.run(["/bin/sh", "-c", f"exec {words} 3<&0 </dev/null"], capture_output=True, timeout=120,
                          input=f"{address}\0{PASSWORD}\0\0".encode(), env={**os.environ, **environ})


def content(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


def sample(steps):
    if os.environ.get("PYQMAIL_SWEEP") == "all":
        return steps
    return [steps[number * (len(steps) - 1) // (FEW - 1)] for number in range(FEW)]


@pytest.mark.parametrize("kind", [NewDomain, NewAlias, GoneDomain, NewUser, GoneUser, OpenRelay])
def test_killed_at_a_step(virtual, tmp_path, kind):
    steps = kind(virtual).steps(tmp_path / "calls")
    assert len(steps) > FEW
    hits = 0
    for call, number in sample(steps):
        life = kind(virtual)
        before, counts = life.files(), life.counts()
        hits += life.kill_at(call, number)
        killed = life.files()
        for place, count in life.counts().items():
            assert abs(count - counts.get(place, count)) <= 1, (call, number)
        done = life.command()
        assert done.returncode in life.again, (call, number, done)
        after = life.files()
        for path, text in killed.items():
            assert text in (before[path], after[path]), (call, number, path)
        try:
            life.whole()
        except AssertionError as why:
            raise AssertionError(f"killed at {call} {number}") from why
        virtual.remove(life.name)
    print(hits, "of", len(steps), "steps")
    assert hits
