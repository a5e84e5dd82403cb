"""The real qmail-smtpd in a throw-away home, with a queue program that keeps what it is given."""
import importlib.util
import os
import shutil
import socket
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUEUE = """#!/bin/sh
cat >{place}/message.$$ && cat <&1 >{place}/envelope.$$
"""
VARIABLES = {"PROTO": "TCP", "TCPREMOTEIP": "192.0.2.7", "TCPREMOTEHOST": "client.example",
             "TCPLOCALHOST": "server.example"}


def harness(path):
    """The module of another test file, for what it plays and starts: harness("send/test_qmail_send_process.py")."""
    name = "harness_" + path.replace("/", "_").removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, f"{ROOT}/tests/{path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", name="harness")
def harness_fixture():
    return harness


class Smtpd:
    """A connection to qmail-smtpd. `process`; `queued`: (message, envelope) of what was accepted."""

    def __init__(self, home, variables):
        self._home = home
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(60)
        environ = {"PATH": os.environ["PATH"], "QMAILQUEUE": f"{home}/queue-program", **VARIABLES, **variables}
        self.process = subprocess.Popen([f"{home}/bin/qmail-smtpd"], stdin=theirs, stdout=theirs, env=environ,
                                        stderr=subprocess.PIPE)
        theirs.close()

    def hears(self, data):
        self.ours.sendall(data)

    def says(self, *lines):
        """The next lines must be these; b"" for the end of the connection."""
        heard, expected = b"", b"".join(lines)
        while len(heard) < max(1, len(expected)) and (piece := self.ours.recv(65_536)):
            heard += piece
        assert heard == expected

    def log(self):
        """Hang up; what the program said on descriptor 2."""
        self.ours.close()
        if not self.process.stderr.closed:
            self._log = self.process.communicate(timeout=60)[1]
        return self._log

    @property
    def queued(self):
        self.log()
        found = []
        for name in os.listdir(self._home):
            if name.startswith("envelope."):
                with open(f"{self._home}/{name}", "rb") as envelope:
                    records = envelope.read()
                if records.endswith(b"\0\0"):
                    with open(f"{self._home}/message.{name[9:]}", "rb") as message:
                        found.append((message.read(), records))
        return found

    def opened(self):
        """Get as far as the text of a message."""
        self.says(b"220 mx.example ESMTP\r\n")
        self.hears(b"MAIL FROM:<s@far.test>\r\nRCPT TO:<r@local.test>\r\nDATA\r\n")
        self.says(b"250 ok\r\n", b"250 ok\r\n", b"354 go ahead\r\n")


@pytest.fixture
def smtpd(tmp_path):
    """smtpd(controls, **variables): a connection to the real program."""
    shutil.copytree(f"{ROOT}/bin", tmp_path / "bin")
    (tmp_path / "pyqmail").symlink_to(f"{ROOT}/pyqmail")
    (tmp_path / "control").mkdir()
    (tmp_path / "queue-program").write_text(QUEUE.format(place=tmp_path))
    (tmp_path / "queue-program").chmod(0o755)
    started = []

    def start(controls=None, **variables):
        for name, text in {"me": "mx.example\n", "rcpthosts": "local.test\n", **(controls or {})}.items():
            if text is not None:
                (tmp_path / "control" / name).write_text(text)
        started.append(Smtpd(str(tmp_path), variables))
        return started[-1]
    yield start
    for connection in started:
        connection.process.kill()
        connection.log()
