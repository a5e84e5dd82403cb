"""Programs that were written for qmail or for any sendmail, run as Debian has them, against an installation
that stands where they expect one.

Each installation gets a mount namespace of its own in which it is /var/qmail and /var/lib/qmail (Debian's
packages for qmail have that path compiled in) and its sendmail is /usr/sbin/sendmail. The machine outside
keeps what it has. The namespace ends with the process that holds it, and that one with the tests.

tests/run installs the packages. nullmailer would take the machine's sendmail away, so it is only unpacked. Debian 12
does not have: qmailanalog (its reading of the log is in test_log_reading.py), serialmail, checkpassword and
checkpassword-pam (checkpw and cvm are there), s6-networking. Of cron, PHP, reportbug and others that only call
sendmail, test_mailers.py has the calls (and cron itself).
"""
import contextlib
import os
import shutil
import subprocess

import pytest

from tests.conftest import System
from tests.peers.ports import free_port
from tests.system.conftest import Mail, people, person  # noqa: F401  (fixtures)

HOME = "/var/qmail"
DEBIAN_HOME = "/var/lib/qmail"
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SETUP = """set -eu
mount --bind "$1" "$2"; mount --bind "$1" "$3"
mount --bind /usr/sbin "$4/machine"; mount --bind "$4/sbin" /usr/sbin
echo; exec cat"""


def tool(program, package=None):
    """The path of a program from a Debian package, which tests/run installs: a missing one is an error."""
    path = shutil.which(program, path=SEARCH)
    assert path, f"no {program}: apt-get install {package or program}"
    return path


class Inside(System):
    """The installation as HOME, for qmailctl."""

    def __init__(self, host, smtp, pop3):
        super().__init__(host.home, smtp, pop3)
        self.host = host

    def ctl(self, verb):
        done = self.host.run(f"{HOME}/bin/qmailctl", verb, text=True)
        return done.returncode, done.stdout + done.stderr


class Host(Mail):
    """An installation in its namespace. `home` is its directory as the tests see it; inside it is HOME."""

    def __init__(self, home, smtp, pop3):
        self.home, self.place = home, os.path.dirname(home)
        super().__init__(Inside(self, smtp, pop3))
        self.wait = self.wait_and_show
        self.holder, self.before = self.hold(), 0

    def hold(self):
        """The process whose namespace it is."""
        for name in ("machine", "sbin"):
            os.mkdir(f"{self.place}/{name}")
        for name in os.listdir("/usr/sbin"):
            os.symlink(f"{self.place}/machine/{name}", f"{self.place}/sbin/{name}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.place}/sbin/sendmail")
        os.symlink(f"{HOME}/bin/sendmail", f"{self.place}/sbin/sendmail")
        holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", SETUP, "sh", self.home,
                                   HOME, DEBIAN_HOME, self.place], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdout.readline() == b"\n"
        return holder

    def words(self, *argv, user=None, env=()):
        """The command line that runs argv inside: as root, or as a user in that user's home and shoes."""
        variables = {"PATH": f"{SEARCH}:{HOME}/bin", "LC_ALL": "C", "TERM": "dumb"}
        if user:
            variables.update(HOME=user.home, USER=user.name, LOGNAME=user.name)
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", f"--wd={user.home if user else self.place}", "--",
                *(["runuser", "-u", user.name, "--"] if user else []),
                "env", "-i", *(f"{name}={value}" for name, value in {**variables, **dict(env)}.items()), *argv]

    def run(self, *argv, user=None, env=(), **options):
        """Run a program inside to its end; the CompletedProcess."""
        stdin = {} if "input" in options else {"stdin": subprocess.DEVNULL}
        return subprocess.run(self.words(*argv, user=user, env=env),
                              **{"capture_output": True, "timeout": 60, **stdin, **options})

    @contextlib.contextmanager
    def daemon(self, *argv, ready, **options):
        """A program that runs inside until the end of the block; entered as soon as ready() is true."""
        process = subprocess.Popen(self.words(*argv), **{"stdin": subprocess.DEVNULL, **options})
        try:
            self.wait(lambda: ready() or process.poll() is not None)
            assert process.poll() is None, f"{argv[0]} ended with {process.returncode}"
            yield process
        finally:
            process.terminate()
            process.wait(60)

    @contextlib.contextmanager
    def served(self, port, *argv, options=(), env=(), address="127.0.0.1"):
        """argv behind tcpserver."""
        words = [tool("tcpserver", "ucspi-tcp"), "-HRv", "-llocalhost", *options, address, str(port), *argv]
        with open(f"{self.place}/tcpserver", "w+b") as log, \
                self.daemon("env", *(f"{name}={value}" for name, value in dict(env).items()), *words, stderr=log,
                            ready=lambda: b"status: " in self.read(log.name)):
            yield lambda: self.read(log.name)

    def wait_and_show(self, ready, seconds=60):
        """As System.wait(); on failure the log so far is among what the test printed."""
        try:
            return self.system.wait(ready, seconds)
        except AssertionError:
            print(self.said())
            raise

    def said(self):
        """What qmail-send has logged since the test began."""
        return self.log()[self.before:]

    def finished(self):
        """Wait until every message of this test is off the queue, and the bounce that came of it: it is there before
        its message ends, and in the log some time later."""
        self.wait(lambda: not any(files for _, _, files in os.walk(f"{self.system.home}/queue/mess"))
                  and 0 < self.said().count("new msg ") == self.said().count("end msg "))

    @staticmethod
    def read(path):
        with open(path, "rb") as f:
            return f.read()

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(60)


def remove_empty(path):
    with contextlib.suppress(OSError):          # somebody has begun to use it
        os.rmdir(path)


@pytest.fixture(scope="session")
def place(open_place, install):
    """place(): a further installation in its namespace; nothing of it runs yet."""
    with contextlib.ExitStack() as stack:
        for path in (HOME, DEBIAN_HOME):
            if not os.path.isdir(path):
                os.mkdir(path)                  # only something to mount on
                stack.callback(remove_empty, path)

        def make():
            smtp, pop3 = free_port(), free_port()
            directory = os.path.join(open_place, f"thirdparty{os.urandom(3).hex()}")
            # bin/ as packages left it; their .qmail-default would take every address
            shutil.copytree(DEBIAN_HOME, f"{directory}/home", symlinks=True, ignore=lambda *_: ["alias"])
            install(f"{directory}/home", "--smtp", f"127.0.0.1:{smtp}", "--pop3", f"127.0.0.1:{pop3}")
            host = Host(f"{directory}/home", smtp, pop3)
            stack.callback(host.close)
            return host
        yield make


@pytest.fixture
def host(shared):
    """The running installation that these tests share; said() counts from here. Control files are put back."""
    shared.before = len(shared.log())
    yield shared
    if shared.undo():
        shared.reload()


@pytest.fixture(scope="session")
def shared(place):
    """As `host`, for fixtures that last longer than a test."""
    host = place()
    status, output = host.ctl("start")
    try:
        assert status == 0, output + host.log()
        yield host
    finally:
        host.ctl("stop")


@pytest.fixture
def alias(host):
    """alias(name, content): a file of the user alias; what was there before is back after the test."""
    saved = {}

    def make(name, content):
        path = f"{host.home}/alias/{name}"
        if path not in saved:
            saved[path] = f"{path}.saved" if os.path.exists(path) else None
            if saved[path]:
                os.rename(path, saved[path])
        owner = os.stat(f"{host.home}/alias")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with open(fd, "w", encoding="utf-8") as f:
            f.write(content)
            os.fchown(fd, owner.st_uid, owner.st_gid)
        return path
    yield make
    for path, before in saved.items():
        if before:
            os.rename(before, path)
        else:
            os.unlink(path)
