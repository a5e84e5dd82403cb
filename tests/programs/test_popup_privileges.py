"""Of the programs of POP3, none that is root reads what a client says."""
import contextlib
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from pyqmail.base import limits
from tests.peers.ports import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = pytest.mark.root


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(word) for word in f.read().split()]


def status(pid, field):
    with open(f"/proc/{pid}/status") as f:
        return next(line.split()[1:] for line in f if line.startswith(field + ":"))


def is_qmaild(pid):
    role = pwd.getpwnam("qmaild")
    return (status(pid, "Uid") == [str(role.pw_uid)] * 4 and status(pid, "Gid") == [str(role.pw_gid)] * 4
            and status(pid, "Groups") == [str(role.pw_gid)])


@contextlib.contextmanager
def started(argv, **streams):
    """A running qmail-popup; a test that fails waits for nobody."""
    with subprocess.Popen(argv, **streams) as popup:
        try:
            yield popup
        finally:
            popup.kill()


def test_classic():
    ours, theirs = socket.socketpair()
    with ours, started([f"{ROOT}/bin/qmail-popup", "h", "sh", "-c", "id -u; cat <&3"],
                       stdin=theirs, stdout=theirs) as popup:
        theirs.close()
        client = ours.makefile("rwb", buffering=0)
        assert client.readline().startswith(b"+OK <")
        talker, = children(popup.pid)
        assert is_qmaild(talker) and status(popup.pid, "Uid")[0] == "0"
        client.write(b"USER joe\r\n")
        assert client.readline() == b"+OK \r\n"
        client.write(b"PASS x\r\n")
        assert client.readline() == b"0\n"          # the checker is what needs root
        assert client.read(100).startswith(b"joe\0x\0<")
        assert popup.wait() == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_without_a_client_it_ends(closed):
    done = subprocess.run(["/bin/sh", "-c", f'exec "{ROOT}/bin/qmail-popup" h true {closed}'], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@pytest.fixture
def home(libraries):
    path = tempfile.mkdtemp()
    os.chmod(path, 0o755)
    shutil.copytree(f"{ROOT}/bin", f"{path}/bin")
    os.symlink(f"{ROOT}/pyqmail", f"{path}/pyqmail")
    os.symlink(libraries, f"{path}/venv")
    os.mkdir(f"{path}/control")
    port = free_port()
    for name, text in {"me": "mail.example", "pop3listen": f"127.0.0.1:{port}", "pop3checker": "sh -c id"}.items():
        with open(f"{path}/control/{name}", "w") as f:
            f.write(text + "\n")
    yield path, port
    shutil.rmtree(path)


def connect(port, popup):
    while popup.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60).makefile("rwb", buffering=0)
        except ConnectionRefusedError:
            continue
    raise AssertionError(popup.stderr.read())


def memory_limit(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        return next(line.split()[3] for line in f if line.startswith("Max data size"))


def test_listening(home):
    path, port = home
    with open(f"{path}/control/pop3checker", "w") as f:
        f.write("checker\n")
    with open(f"{path}/bin/checker", "w") as f:
        f.write('#!/bin/sh\necho "$(id -u) $(tr "\\000" : <&3)"\n')
    os.chmod(f"{path}/bin/checker", 0o755)
    with started([f"{path}/bin/qmail-popup", "--listen"], stderr=subprocess.PIPE) as popup:
        client = connect(port, popup)
        greeting = client.readline()
        assert greeting.startswith(b"+OK <") and greeting.endswith(b"@mail.example>\r\n")
        parent, = children(popup.pid)
        workers = children(parent)
        assert status(popup.pid, "Uid")[0] == "0"
        assert workers and all(is_qmaild(pid) for pid in (parent, *workers))
        end = time.monotonic() + 60
        while not all(memory_limit(pid) == str(limits.TABLE["qmail-popup"][0]) for pid in workers):     # some may be just starting
            assert time.monotonic() < end
            select.select([], [], [], 0.01)
        sockets = [os.readlink(f"/proc/{popup.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{popup.pid}/fd")]
        with open(f"/proc/{popup.pid}/net/tcp") as f:
            of_port = {line.split()[9] for line in f if f":{port:04X}" in line}
        assert not [name for name in sockets if name.strip("socket:[]") in of_port]     # root holds no connection
        client.write(b"USER joe\r\nPASS x\r\n")
        assert client.readline() == b"+OK \r\n"
        assert client.readline() == b"0 joe:x:" + greeting[4:-2] + b":\n"
        assert client.readline() == b""
        popup.send_signal(signal.SIGTERM)
        assert popup.wait(60) == 0
        assert popup.stderr.read() == b""
