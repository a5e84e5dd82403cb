"""A user's own programs against the processes that deliver his mail: the worst he gets is his own delivery deferred.

qmail-lspawn keeps processes of users warm. Whoever runs as such a user may signal them; he may not look into them,
take their descriptors, or reach qmail-lspawn, the look-up process or other users through them.
"""
import os
import signal
import socket
import subprocess
from types import SimpleNamespace

import pytest

from pyqmail.pop3 import authenticator
from pyqmail.spawn import warm
from pyqmail.users import codes

DELIVERED = b"Kdid 1+0+0\n"


@pytest.fixture
def lspawn(harness, tmp_path_factory):
    module = harness("spawn/test_lspawn.py")
    path = tmp_path_factory.mktemp("lspawn")
    for above in (path, *path.parents[:-2]):
        os.chmod(above, os.stat(above).st_mode | 0o011)
    home = module.Home(str(path))
    with module.Spawner(home) as spawner:
        yield home, spawner, module


def as_user(uid, *words):
    return subprocess.run(words, user=uid, group=64211, extra_groups=[], capture_output=True, text=True)


@pytest.mark.root
@pytest.mark.parametrize("look", ["ls -l /proc/{pid}/fd", "cat /proc/{pid}/environ", "head -c 1 /proc/{pid}/mem",
                                  "readlink -v /proc/{pid}/cwd", "cat /proc/{pid}/maps"])
def test_nobody_looks_into_a_warm_process(lspawn, look):
    """not even its own user: it has the next message before anybody has delivered it"""
    _, spawner, module = lspawn
    assert spawner.deliver(b"joe@host") == DELIVERED
    pid, = spawner.children(module.JOE)
    done = as_user(module.JOE, "/bin/sh", "-c", look.format(pid=pid))
    assert "ermission denied" in done.stderr and not done.stdout


@pytest.mark.root
def test_nobody_takes_its_descriptors(lspawn):
    """ptrace and pidfd_getfd(2) ask the same question."""
    _, spawner, module = lspawn
    assert spawner.deliver(b"joe@host") == DELIVERED
    pid, = spawner.children(module.JOE)
    attempt = ("import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
               f"fd = os.pidfd_open({pid})\n"
               "print([libc.syscall(438, fd, n, 0) for n in range(6)], libc.ptrace(16, %d, 0, 0))" % pid)
    done = as_user(module.JOE, "/usr/bin/python3", "-IS", "-c", attempt)
    assert done.stdout == "[-1, -1, -1, -1, -1, -1] -1\n", done.stderr


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGALRM, signal.SIGSEGV, signal.SIGUSR1])
def test_signals_cost_the_user_himself_only(lspawn, number):
    home, spawner, module = lspawn
    assert spawner.deliver(b"joe@host") == DELIVERED
    pid, = spawner.children(module.JOE)
    as_user(module.JOE, "/bin/kill", f"-{number}", str(pid))
    assert spawner.deliver(b"sue-a@host") != b""
    assert spawner.deliver(b"joe@host") in (DELIVERED, b"Zqmail-local crashed.\n")
    assert spawner.deliver(b"joe@host") == DELIVERED and spawner.process.poll() is None


@pytest.mark.root
def test_one_that_is_stopped_stops_nobody_else(lspawn):
    home, spawner, module = lspawn
    assert spawner.deliver(b"joe@host") == DELIVERED
    pid, = spawner.children(module.JOE)
    as_user(module.JOE, "/bin/kill", "-STOP", str(pid))
    spawner.order(b"joe@host", delnum=1)                    # this one waits
    home.file("sue/.qmail-a", b"./box\n", module.SUE)
    for _ in range(3):
        assert spawner.deliver(b"sue-a@host", delnum=2) == DELIVERED
    as_user(module.JOE, "/bin/kill", "-CONT", str(pid))
    assert spawner.reports() == {1: DELIVERED}


@pytest.mark.root
def test_a_command_reaches_nothing_of_the_spawner(lspawn):
    """Its descriptors are the message, read-only, and the output of this delivery; nothing else came along."""
    home, spawner, module = lspawn
    home.file("joe/.qmail", b"|for fd in /proc/self/fd/*; do readlink $fd; done; "
                            b"(echo x >&0) 2>/dev/null && echo wrote; "
                            b"kill -KILL %d 2>/dev/null && echo killed; true\n"
              % spawner.pid)
    said = spawner.deliver(b"joe@host").split(b"\n")
    assert not any(b"socket" in line or b"users/cdb" in line for line in said)
    assert sum(b"pipe:" in line for line in said) == 2 and b"wrote" not in said and b"killed" not in said
    assert spawner.process.poll() is None


# ---------------------------------------------------------------- garbage from a process that a user has taken over

class Loop:
    def __init__(self):
        self.forgotten = []

    def fork(self, run, fds, ended):
        self.theirs = socket.socket(fileno=os.dup(fds[warm.SOCKET]))

    def watch(self, fd, callback):
        self.callback = callback

    def forget(self, fd):
        self.forgotten.append(fd)


class Clock:
    @staticmethod
    def monotonic():
        return 0.0


@pytest.mark.parametrize("answers", [[b"0"], [b"0 0"], [b"0 2 0 "], [b"0 0 2 "], [b"-1 0 0 "], [b"1e3 0 0 "],
                                     [b"9999 0 0 "], [b"0 0 1 text"], [b"x" * 200_000], [b" 0 0 "], [b"0 0 00 x"], [b"+1 0 0 "]])
def test_an_answer_that_is_none(answers):
    """It counts as a bug of ours, the mail is deferred, the process is not used again."""
    loop, ended = Loop(), []
    pool = warm.Pool(loop, None, Clock)
    with open("/dev/null", "rb") as null:
        pool.deliver(1, 2, (b"a",), null.fileno(), lambda status, _: ended.append(status))
    for answer in answers:
        loop.theirs.send(answer)
        loop.callback()
    assert ended == [codes.BUG] and loop.forgotten
    loop.theirs.close()


def test_a_flood_of_answers_counts_once():
    loop, ended = Loop(), []
    pool = warm.Pool(loop, None, Clock)
    with open("/dev/null", "rb") as null:
        pool.deliver(1, 2, (b"a",), null.fileno(), lambda status, _: ended.append(status))
    for _ in range(50):
        loop.theirs.send(b"0 0 0 ")
    loop.callback()
    assert ended == [0] and not loop.forgotten
    loop.callback()                                 # it speaks without being asked: it goes
    assert ended == [0] and len(loop.forgotten) == 2        # its socket, and its output
    loop.theirs.close()


# ---------------------------------------------------------------- what others' secrets a user's process could hold

SECRET = []


def test_a_pop3_session_never_had_the_passwords_of_others(monkeypatch):
    """They are read in a process that ends; the one that becomes the user learns only who he is."""
    def login(name, password, ip):
        SECRET.append(b"root:$6$hash-of-somebody-else")
        return authenticator.accounts.Account(name, 5, 6, b"/home/%b" % name, b"/bin/sh")
    monkeypatch.setattr(authenticator.accounts, "login", login)
    assert check_joe() == b"joe\0005\0006\0/home/joe\0/bin/sh" and SECRET == []


def check_joe():
    peer = SimpleNamespace(ip="192.0.2.1", environ={})
    return authenticator.checked(lambda: authenticator.system_user(b"joe", b"secret", b"", peer))


@pytest.mark.parametrize("behave", [lambda: os._exit(0), lambda: os._exit(7), lambda: 1 / 0,
                                    lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_a_check_that_breaks_down_lets_nobody_in(monkeypatch, behave, capfd):
    monkeypatch.setattr(authenticator.accounts, "login", lambda *_: behave())
    with pytest.raises(authenticator.errors.Temporary):
        check_joe()
    capfd.readouterr()
