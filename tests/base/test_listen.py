"""Listening sockets and pre-forked workers, with real processes."""
import os
import select
import signal
import socket
import subprocess
import sys

import pytest

from pyqmail.base import control, home, listen
from pyqmail.base.errors import Temporary

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVER = """
import os, select, sys
sys.path.insert(0, {root!r})
from pyqmail.base import listen
sock = listen.bind("127.0.0.1", 0)
os.write(1, b"%d\\n" % sock.getsockname()[1])
def run(worker):
    while True:
        select.select(worker.sockets, [], [])
        client = listen.accept(worker.sockets[0])
        if client:
            client.recv(100)
            client.sendall(b"%d %d %d" % (os.getpid(), os.getppid(), worker.share))
            client.close()
sys.exit(listen.serve("test", [sock], run, total=2, role=None))
"""

ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
sys.path.insert(0, %r)
from pyqmail.base import listen
found = listen.sockets("none", [])
print(len(found), found[0].getsockname()[1], found[0].get_inheritable(),
    [n for n in os.environ if n.startswith("LISTEN")])
"""


@pytest.mark.parametrize("entry, found", [
    ("0.0.0.0:25", ("0.0.0.0", 25)), ("[::]:25", ("::", 25)), (" 127.0.0.1:0 ", ("127.0.0.1", 0)), ("[192.0.2.1]:1",
    ("192.0.2.1", 1)),
    (":25", None), ("25", None), ("::1:25", None), ("a.example:25", None), ("1.2.3.4:", None), ("1.2.3.4:70000", None),
    ("1.2.3.4:²", None), ("[::1:25", None), ("", None)])
def test_parse(entry, found):
    if found is None:
        with pytest.raises((ValueError, OSError)):
            listen.parse(entry)
    else:
        assert listen.parse(entry) == found


@pytest.fixture
def put(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    return lambda text: (tmp_path / "control" / "testlisten").write_text(text)


def test_addresses_from_the_control_file(put):
    put("# comment\n127.0.0.1:0\n127.0.0.2:0\n")
    found = listen.sockets("testlisten", ["0.0.0.0:1"])
    assert [sock.getsockname()[0] for sock in found] == ["127.0.0.1", "127.0.0.2"]
    assert not any(sock.getblocking() or sock.get_inheritable() for sock in found)
    for sock in found:
        sock.close()


@pytest.mark.parametrize("text", ["what\n", "", "192.0.2.200:0\n", "127.0.0.1:0\nx\n"])
def test_bad_addresses_are_an_error(put, text):
    put(text)
    with pytest.raises(Temporary):
        listen.sockets("testlisten", [])
    assert control.exists("testlisten")


def test_sockets_from_systemd(put):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        said = subprocess.run([sys.executable, "-c", ACTIVATED % ROOT, str(sock.fileno())], check=True,
                              env={**os.environ, "LISTEN_FDS": "1"}, pass_fds=[sock.fileno()], capture_output=True,
                                  text=True)
        assert said.stdout == f"1 {sock.getsockname()[1]} False []\n"


def test_sockets_for_another_process_are_not_ours(monkeypatch):
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert listen.from_systemd() == [] and "LISTEN_FDS" not in os.environ


@pytest.fixture
def server():
    process = subprocess.Popen([sys.executable, "-c", SERVER.format(root=ROOT)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    process.port = int(process.stdout.readline())
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def talk(server, word):
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(60)
        client.sendall(word)
        return client.recv(100).split()


def test_workers_serve_and_end(server):
    worker, parent, share = talk(server, b"x")
    assert int(parent) == server.pid != int(worker) and int(share) in (1, 2)
    server.send_signal(signal.SIGTERM)
    assert server.communicate(timeout=60) == (b"", b"") and server.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        talk(server, b"x")


def test_a_dead_worker_is_replaced(server):
    talk(server, b"x")
    with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="ascii") as f:
        killed = f.read().split()
    for worker in killed:
        os.kill(int(worker), signal.SIGKILL)
    assert select.select([server.stderr], [], [], 60)[0]
    assert b"died with status -9, starting another" in os.read(server.stderr.fileno(), 1000)
    assert talk(server, b"x")[0].decode() not in killed


def test_workers_end_with_their_parent(server):
    worker = int(talk(server, b"x")[0])
    watched = os.pidfd_open(worker)
    server.kill()
    assert select.select([watched], [], [], 60)[0]
    os.close(watched)
