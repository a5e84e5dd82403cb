"""bin/qmail-remote as a process: one message to a server on this machine."""
import os
import shutil
import socket
import subprocess
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REPLIES = [b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 done\r\n"]


@pytest.fixture
def place(tmp_path):
    for name in ("bin", "control", "queue/lock"):
        os.makedirs(tmp_path / name)
    os.symlink(os.path.join(ROOT, "pyqmail"), tmp_path / "pyqmail")
    shutil.copy(os.path.join(ROOT, "bin/qmail-remote"), tmp_path / "bin/qmail-remote")
    (tmp_path / "control/me").write_bytes(b"me.example\n")
    return tmp_path


def remote(place, *arguments, message=b"hello\n", options=()):
    return subprocess.run([*options, place / "bin/qmail-remote", *arguments], input=message,
                          capture_output=True, timeout=100)


class Server(threading.Thread):
    """Serves one connection; `length` is how many bytes of text came, `head` their beginning."""

    def __init__(self, place, replies=REPLIES):
        super().__init__(daemon=True)
        self.replies, self.length, self.head = replies, 0, b""
        self.sock = socket.create_server(("127.0.0.1", 0))
        (place / "control/smtproutes").write_bytes(b":127.0.0.1:%d\n" % self.sock.getsockname()[1])
        self.start()

    def run(self):
        with self.sock, self.sock.accept()[0] as client:
            for number, reply in enumerate(self.replies):
                tail, end = b"", b"\r\n.\r\n" if number == 5 else b"\r\n"
                while number and not tail.endswith(end):
                    data = client.recv(1 << 16)
                    if number == 5:
                        self.length += len(data)
                        self.head += data[:20 - len(self.head)]
                    tail = (tail + data)[-5:]
                client.sendall(reply)


def test_a_delivery(place):
    server = Server(place)
    done = remote(place, "far.test", "s@a", "r@far.test")
    server.join(60)
    assert done.stdout == b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 done\n\0"
    assert (done.returncode, done.stderr, server.head) == (0, b"", b"hello\r\n.\r\n")


def test_too_few_arguments(place):
    assert remote(place, "far.test", "s@a").stdout == b"DI (qmail-remote) was invoked improperly. (#5.3.5)\n\0"


def test_a_message_larger_than_memory(place):
    """40 MB through a process that may have 30 MB more than it starts with."""
    server = Server(place)
    message = (b"." + b"x" * 98 + b"\n") * 400_000
    done = remote(place, "far.test", "s@a", "r@far.test", message=message, options=["prlimit", "--data=30000000"])
    server.join(60)
    assert done.stdout[:3] == b"r\0K" and server.length == 400_000 * 102 + 3


def test_dns_is_not_imported_for_a_relay_with_an_address(place):
    """It would take longer than all the rest."""
    Server(place)
    program = place / "bin/qmail-remote"
    done = subprocess.run(["/usr/bin/python3", "-IS", "-X", "importtime", program, "far.test", "s@a", "r@far.test"],
                          input=b"hello\n", capture_output=True, timeout=100)
    modules = {line.split(b"|")[-1].strip() for line in done.stderr.splitlines()}
    assert done.stdout.startswith(b"r\0K") and b"pyqmail.base.dns" in modules
    assert not modules & {b"dns", b"dns.resolver", b"socket", b"asyncio", b"random"}
