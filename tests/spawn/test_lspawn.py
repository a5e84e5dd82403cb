"""qmail-lspawn as a process, as root, with a home of its own: who its processes are and what they can reach."""
import os
import resource
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

import cdblib
import pytest

from pyqmail.base import cdb
from pyqmail.spawn import wire

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.getuid() != 0, reason="needs root")]

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
JOE, SUE, GROUP = 64201, 64202, 64211
PATIENCE = 60                       # s; only a test that fails waits so long


class Home:
    """A QMAILHOME with the launchers, a message 0/23, users joe and sue, and users/cdb."""

    def __init__(self, path):
        import grp
        import pwd
        self.path = path
        os.chmod(path, 0o755)
        for name in ("bin", "control", "users", "alias", "queue", "queue/mess", "queue/mess/0", "joe", "sue"):
            os.mkdir(f"{path}/{name}")
        os.symlink(f"{CHECKOUT}/pyqmail", f"{path}/pyqmail")
        packages = f"{path}/venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
        os.makedirs(packages)
        os.symlink(os.path.dirname(os.path.dirname(cdblib.__file__)), f"{packages}/site-packages")
        for name in ("qmail-lspawn", "qmail-local", "qmail-getpw"):
            shutil.copy(f"{CHECKOUT}/bin/{name}", f"{path}/bin/{name}")
        owner = pwd.getpwnam("qmailq").pw_uid, grp.getgrnam("qmail").gr_gid
        self.file("queue/mess/0/23", b"Subject: t\n\nbody\n", *owner)
        os.chown(f"{path}/joe", JOE, GROUP)
        os.chown(f"{path}/sue", SUE, GROUP)
        self.assign([(b"!joe\0", self.fields(JOE, "joe", "")), (b"!joe-", self.fields(JOE, "joe", "-")),
                     (b"!sue-", self.fields(SUE, "sue", "-"))])

    def fields(self, uid, directory, dash):
        return f"{directory}\0{uid}\0{GROUP}\0{self.path}/{directory}\0{dash}\0".encode()

    def assign(self, records):
        fd = os.open(f"{self.path}/users/new", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)     # unreadable to others
        cdb.write(fd, [*records, (b"", b"-")])
        os.close(fd)
        os.rename(f"{self.path}/users/new", f"{self.path}/users/cdb")

    def file(self, name, content, uid=JOE, gid=GROUP):
        with open(f"{self.path}/{name}", "wb") as f:
            f.write(content)
        os.chown(f"{self.path}/{name}", uid, gid)
        os.chmod(f"{self.path}/{name}", 0o644)


class Spawner:
    """A running qmail-lspawn: what qmail-send sees of it."""

    def __init__(self, home, **identity):
        self.process = subprocess.Popen([f"{home.path}/bin/qmail-lspawn", "./Mailbox"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0, env={"PATH": "/usr/bin:/bin"}, **identity)
        self.pid, self.reader = self.process.pid, wire.ReportReader()
        assert self.process.stdout.read(1) == b"x"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def order(self, recipient, delnum=0, sender=b"s@a.example"):
        self.process.stdin.write(wire.order(delnum, b"0/23", sender, recipient))

    def reports(self, count=1):
        found = []
        while len(found) < count:
            assert select.select([self.process.stdout], [], [], PATIENCE)[0], f"only {found}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"ended after {found}"
            found += self.reader.feed(data)
        return {report.delnum: report.text for report in found}

    def deliver(self, recipient, **more):
        self.order(recipient, **more)
        return self.reports()[more.get("delnum", 0)]

    def children(self, uid=None):
        """pids of its processes, those of one user."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
            pids = [int(pid) for pid in f.read().split()]
        return [pid for pid in pids if uid is None or status(pid).get("Uid", "").split() == [str(uid)] * 4]

    def fds(self):
        return sorted(map(int, os.listdir(f"/proc/{self.pid}/fd")))


def status(pid):
    """What the kernel says about a process; {} if it has ended."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return {}


@pytest.fixture(scope="module")
def built():
    path = tempfile.mkdtemp(prefix="lspawn-", dir="/tmp")
    yield Home(path)
    shutil.rmtree(path)


@pytest.fixture
def home(built):
    yield built
    for user in ("joe", "sue"):
        for name in os.listdir(f"{built.path}/{user}"):
            os.unlink(f"{built.path}/{user}/{name}")


@pytest.fixture
def spawner(home):
    with Spawner(home) as found:
        yield found


def test_who_a_warm_process_is(home, spawner):
    assert spawner.deliver(b"joe@host") == b"Kdid 1+0+0\n"
    pid, = spawner.children(JOE)
    about = status(pid)
    assert about["Gid"].split() == [str(GROUP)] * 4 and about["Groups"].split() == [str(GROUP)]
    assert {int(about[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}      # no way back
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0      # the kernel's sign that it is not dumpable
    places = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{pid}/fd")}
    assert places == {0: "/dev/null", 1: "pipe", 2: "pipe", 3: "socket", 4: "/dev/null"}
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_who_the_resolver_is(home, spawner):
    import grp
    import pwd
    spawner.deliver(b"joe@host")
    qmailp, nofiles = pwd.getpwnam("qmailp").pw_uid, grp.getgrnam("nofiles").gr_gid
    pid, = spawner.children(qmailp)
    about = status(pid)
    assert about["Groups"].split() == [str(nofiles)] and int(about["CapPrm"], 16) == 0
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    assert all("mess" not in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))


def test_a_command_sees_its_own_delivery_only(home, spawner):
    home.file("joe/.qmail", b"|echo $PPID; env | sort; ls /proc/self/fd | tr '\\n' ' '\n"
              b"|readlink /proc/self/fd/[012]; id -G; umask\n")
    home.file("joe/.qmail-default", b"|echo $PPID; env | grep -c 'DEFAULT=\\|secret'; umask 0; cd /\n")
    first = spawner.deliver(b"joe-secret@secret", sender=b"secret@x")
    second = spawner.deliver(b"joe@host")
    assert second.split(b"\n")[0] == first.split(b"\n")[0]          # the same process
    assert b"secret" not in second and b"DEFAULT=" not in second and b"\n0077\n" in second
    assert b"SENDER=s@a.example\n" in second and b"\n%d\n" % GROUP in second
    assert b"\n0 1 2 3 " in second and f"{home.path}/queue/mess/0/23".encode() in second       # 3 is ls reading /proc


def test_two_at_once_for_one_user_and_reports_as_they_end(home, spawner):
    home.file("joe/.qmail-slow", b"|until [ -e done ]; do sleep 0.05; done; echo slow\n")
    home.file("joe/.qmail-fast", b"|: >done; echo fast\n")
    spawner.order(b"joe-slow@h", delnum=4)
    spawner.order(b"joe-fast@h", delnum=5)
    assert spawner.reports(2) == {5: b"Kfast\ndid 0+0+1\n", 4: b"Kslow\ndid 0+0+1\n"}
    assert len(spawner.children(JOE)) == 2


def test_background_output_delays_the_report_and_is_part_of_it(home, spawner):
    home.file("joe/.qmail-bg", b"|echo now; (until [ -e go ]; do sleep 0.05; done; echo later) &\n")
    home.file("joe/.qmail-go", b"|: >go\n")
    spawner.order(b"joe-bg@h", delnum=1)
    spawner.order(b"joe-go@h", delnum=2)
    reports = spawner.reports(2)
    first, *others = reports[1].split(b"\n")
    assert first == b"Know" and sorted(others) == [b"", b"did 0+0+1", b"later"]
    assert reports[2] == b"Kdid 0+0+1\n"


def test_a_crash_costs_one_delivery_and_nothing_else(home, spawner):
    home.file("joe/.qmail-poison", b"|echo lost; kill -SEGV $PPID\n")
    home.file("sue/.qmail-x", b"|until [ -e done ]; do sleep 0.05; done; echo sue\n", SUE)
    spawner.order(b"sue-x@h", delnum=9)
    for _ in range(5):
        assert spawner.deliver(b"joe-poison@h", delnum=1) == b"Zqmail-local crashed.\n"
        assert spawner.deliver(b"joe@h", delnum=2) == b"Kdid 1+0+0\n"
    home.file("sue/done", b"", SUE)
    assert spawner.reports() == {9: b"Ksue\ndid 0+0+1\n"}


def test_a_resolver_that_dies_is_replaced(home, spawner):
    spawner.deliver(b"joe@h")
    before = set(spawner.children()) - set(spawner.children(JOE))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    reports = [spawner.deliver(b"joe@h") for _ in range(2)]
    assert reports[-1] == b"Kdid 1+0+0\n" and reports[0] in (reports[-1], b"ZTemporary failure in qmail-lspawn.\n")


def test_a_new_cdb_counts_at_once(home, spawner):
    assert spawner.deliver(b"joe@h") == b"Kdid 1+0+0\n"
    old = cdb.read(f"{home.path}/users/cdb")
    before = [(key, old.get(key)) for key in (b"!joe\0", b"!joe-", b"!sue-")]
    try:
        home.assign([(b"!joe\0", home.fields(SUE, "sue", ""))])
        assert spawner.deliver(b"joe@h") == b"Kdid 1+0+0\n"
        assert os.stat(f"{home.path}/sue/Mailbox").st_uid == SUE
        home.assign([(b"!joe\0", home.fields(0, "joe", ""))])
        assert spawner.deliver(b"joe@h") == b"ZNot allowed to perform deliveries as root.\n"
    finally:
        home.assign(before)


def test_no_descriptor_is_left_after_many_deliveries(home, spawner):
    home.file("joe/.qmail-cmd", b"|true\n")
    home.file("joe/.qmail-hard", b"|exit 100\n")
    for recipient in (b"joe@h", b"joe-cmd@h", b"joe-hard@h", b"@h", b"no-at", b"joe-none@h"):
        spawner.deliver(recipient)
    before, worker = spawner.fds(), spawner.children(JOE)
    for number in range(200):
        spawner.deliver((b"joe@h", b"joe-none@h", b"@h", b"no-at", b"joe@h")[number % 5])
    for _ in range(5):
        spawner.deliver(b"joe-cmd@h")
        spawner.deliver(b"joe-hard@h")
    spawner.deliver(b"joe@h")       # its process gets a pipe again, in place of the one that commands have had
    assert len(spawner.fds()) == len(before) and spawner.children(JOE) == worker


def test_out_of_descriptors(home, spawner):
    spawner.deliver(b"joe@h")
    before, (soft, hard) = spawner.fds(), resource.prlimit(spawner.pid, resource.RLIMIT_NOFILE)
    free = sorted(set(range(before[-1] + 9)) - set(before))         # the numbers its next descriptors get
    for left, recipient, report in (
            (0, b"joe@h", b"Zqmail-spawn unable to open message. (#4.3.0)\n"),
            (2, b"sue-x@h", b"Zqmail-spawn unable to create pipe. (#4.3.0)\n"),
            (4, b"sue-x@h", b"Zqmail-spawn unable to fork. (#4.3.0)\n"),
            (2, b"joe@h", b"Kdid 1+0+0\n")):
        resource.prlimit(spawner.pid, resource.RLIMIT_NOFILE, (free[left], hard))
        assert spawner.deliver(recipient) == report
    resource.prlimit(spawner.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert spawner.deliver(b"joe@h") == b"Kdid 1+0+0\n" and spawner.fds() == before


def test_end_of_orders_finishes_what_is_under_way(home, spawner):
    home.file("joe/.qmail-slow", b"|cat >got; until [ -e done ]; do sleep 0.05; done\n")
    spawner.order(b"joe-slow@h", delnum=3)
    spawner.process.stdin.write(b"\x04" b"0/23\0unfinished")
    spawner.process.stdin.close()
    end = time.monotonic() + PATIENCE
    while not (workers := spawner.children(JOE)) and time.monotonic() < end:
        pass
    ends = [os.pidfd_open(pid) for pid in spawner.children()]
    home.file("joe/done", b"")
    assert spawner.reports() == {3: b"Kdid 0+0+1\n"} and spawner.process.wait(PATIENCE) == 0
    for fd in ends:                 # nobody stays behind
        assert select.select([fd], [], [], PATIENCE)[0]
        os.close(fd)
    assert workers


def test_killed_lspawn_takes_its_idle_processes_along(home, spawner):
    spawner.deliver(b"joe@h")
    ends = [os.pidfd_open(pid) for pid in spawner.children()]
    spawner.process.kill()
    for fd in ends:
        assert select.select([fd], [], [], PATIENCE)[0]
        os.close(fd)


def test_an_exchanged_qmail_local_is_executed(home, spawner):
    spawner.deliver(b"joe@h")
    program = f"{home.path}/bin/qmail-local"
    os.rename(program, program + ".ours")
    try:
        with open(program, "w") as f:
            f.write('#!/bin/sh\necho "$(id -u) $(id -G) $8"; cat\n')
        os.chmod(program, 0o755)
        assert spawner.deliver(b"joe@h") == b"K%d %d s@a.example\nSubject: t\n\nbody\n" % (JOE, GROUP)
    finally:
        os.rename(program + ".ours", program)
    assert spawner.deliver(b"joe@h") == b"Kdid 1+0+0\n"


def test_arguments_too_long_for_any_command_line(home, spawner):
    assert spawner.deliver(b"joe@h", sender=b"s" * 200_000) == b"DUnable to run qmail-local.\n"
    assert spawner.deliver(b"joe-" + b"x" * 300_000 + b"@h").startswith(b"Z")
    assert spawner.deliver(b"joe@h") == b"Kdid 1+0+0\n"


def test_the_message_is_a_file_of_qmailq(home, spawner):
    os.chmod(f"{home.path}/queue/mess/0/23", 0o600)
    try:
        assert spawner.deliver(b"joe@h") == b"Kdid 1+0+0\n"        # opened by root, handed on as a descriptor
        assert not stat.S_IMODE(os.stat(f"{home.path}/joe/Mailbox").st_mode) & 0o077
    finally:
        os.chmod(f"{home.path}/queue/mess/0/23", 0o644)


def test_private_home_delivers_to_its_owner_only():
    with tempfile.TemporaryDirectory(prefix="lspawn-", dir="/tmp") as path:
        home = Home(path)
        home.file("alias/.qmail-default", b"./box\n")
        for directory, names, files in os.walk(path):
            for name in (*names, *files, "."):
                os.lchown(f"{directory}/{name}", JOE, GROUP)
        with Spawner(home, user=JOE, group=GROUP, extra_groups=[]) as spawner:
            assert spawner.deliver(b"joe@h") == b"Kdid 1+0+0\n"
            assert spawner.deliver(b"sue-x@h") == b"ZThis installation delivers only to its owner. (#4.3.5)\n"
            assert spawner.deliver(b"daemon@h") == b"Kdid 1+0+0\n" and os.path.exists(f"{path}/alias/box")
