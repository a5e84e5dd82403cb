"""qmail-qmtpd and qmail-qmqpd --listen as their real users."""
import os
import pwd
import signal
import socket
import subprocess

import pytest

from pyqmail.qmtp import qmqp, wire
from tests.peers.ports import free_port
from tests.qmtp.conftest import answers, until

pytestmark = pytest.mark.root
MESSAGE = (wire.netstring(b"\nSubject: x\n\nhello\n") + wire.netstring(b"s@far.test")
           + wire.netstring(wire.netstring(b"r@local.test")))


def packet(text=b"Subject: x\n\nhello\n", recipients=(b"r@far.test",)):
    before, after = qmqp.packet(text, b"s@far.test", b"".join(map(wire.netstring, recipients)))
    return before + text + after


class Server:
    def __init__(self, host, program, service):
        self.host, self.program, self.service = host, program, service
        self.port = free_port()
        host.control(me="mx.example", rcpthosts="local.test", **{f"{service}listen": f"127.0.0.1:{self.port}"})

    def start(self, *options):
        self.process = self.host.start(self.program, "--listen", *options, stderr=subprocess.PIPE, text=True)
        until(lambda: self.process.poll() is not None or answers(self.port))
        assert self.process.poll() is None, self.process.communicate()[1]
        return self

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def says(self, *pieces, close=True):
        """What the server says to a client that sends this."""
        with self.connect() as sock:
            for piece in pieces:
                sock.sendall(piece)
            if close:
                sock.shutdown(socket.SHUT_WR)
            said = b""
            try:
                while data := sock.recv(65536):
                    said += data
            except ConnectionError:
                pass
            return said

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        log = self.process.communicate(timeout=100)[1]
        assert self.process.returncode == 0
        return log

    def children(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            return [int(word) for word in f.read().split()]


@pytest.fixture
def qmtpd(host):
    return Server(host().queue(), "qmail-qmtpd", "qmtp")


@pytest.fixture
def qmqpd(host):
    return Server(host().queue(), "qmail-qmqpd", "qmqp")


def field(pid, name):
    with open(f"/proc/{pid}/status") as f:
        return next(line.split()[1:] for line in f if line.startswith(name + ":"))


def test_who_serves(qmtpd):
    qmtpd.start()
    role = pwd.getpwnam("qmaild")
    with qmtpd.connect():
        until(lambda: field(qmtpd.process.pid, "Uid") == [str(role.pw_uid)] * 4)     # it listens before it is qmaild
        until(qmtpd.children)
        for pid in [qmtpd.process.pid, *qmtpd.children()]:
            assert field(pid, "Uid") == [str(role.pw_uid)] * 4 and field(pid, "Groups") == [str(role.pw_gid)]
            assert field(pid, "CapEff") == ["0" * 16]
        until(lambda: all(field(pid, "NoNewPrivs") == ["1"] for pid in qmtpd.children()))
    assert qmtpd.stop() == ""


def test_qmtp_mail_is_queued(qmtpd):
    qmtpd.start()
    assert qmtpd.says(MESSAGE * 3).count(b"Kok ") == 3
    first, *rest = qmtpd.host.queued()
    assert len(rest) == 2 and b" invoked from network); " in first
    assert b"\nReceived: from unknown (127.0.0.1)\n  by mx.example with QMTP; " in first and first.endswith(b"hello\n")


def test_qmtp_long_message_and_broken_connection(qmtpd):
    qmtpd.start()
    text = b"\n" + b"a line of text\n" * 200_000
    whole = wire.netstring(text) + wire.netstring(b"") + wire.netstring(wire.netstring(b"r@local.test"))
    assert qmtpd.says(whole[:-1]) == b"" and qmtpd.host.queued() == []
    assert b"Kok " in qmtpd.says(whole)
    assert qmtpd.host.queued()[0].endswith(text[1:])


def test_qmqp_admits_only_whom_a_rule_names(qmqpd):
    qmqpd.start("-v")
    assert qmqpd.says(packet(), close=False) == b""
    qmqpd.host.rules("tcp.qmqp", "192.0.2.:allow\n")
    assert qmqpd.says(packet(), close=False) == b""
    qmqpd.host.rules("tcp.qmqp", "127.0.0.:allow,TCPREMOTEHOST=\"client.example\"\n")
    assert b"Kok " in qmqpd.says(packet())
    message, = qmqpd.host.queued()
    assert b"\nReceived: from client.example (127.0.0.1)\n  by mx.example with QMQP; " in message
    log = qmqpd.stop()
    assert log.count("qmail-qmqpd: deny ") == 3 and log.count("qmail-qmqpd: ok ") == 1       # one: start() looked


def test_qmtp_rules_and_bad_clients(qmtpd):
    qmtpd.host.rules("tcp.qmtp", "127.:allow,RELAYCLIENT=\"\",DATABYTES=\"30\"\n")
    qmtpd.start("-v")
    other = MESSAGE.replace(b"12:r@local.test", b"12:r@elsewhere.").replace(b"elsewhere.", b"faraway.te")
    assert b"Kok " in qmtpd.says(other)
    assert b"databytes" in qmtpd.says(MESSAGE.replace(b"19:\n", b"49:\n" + b"x" * 30))
    assert qmtpd.says(b"GET / HTTP/1.0\r\n\r\n", close=False) == b""
    assert " status 25600\n" in qmtpd.stop()


def test_unreadable_controls_close_the_connection(qmtpd):
    os.unlink(f"{qmtpd.host.home}/control/rcpthosts")
    os.mkdir(f"{qmtpd.host.home}/control/rcpthosts")
    qmtpd.start()
    assert qmtpd.says(MESSAGE) == b""
    os.rmdir(f"{qmtpd.host.home}/control/rcpthosts")
    qmtpd.host.control(rcpthosts="local.test")
    assert b"Kok " in qmtpd.says(MESSAGE)
    assert "rcpthosts" in qmtpd.stop()


def test_a_session_under_way_is_finished_after_term(qmqpd):
    qmqpd.host.rules("tcp.qmqp", "127.:allow\n")
    qmqpd.start("-v")
    sent = packet(b"x" * 100_000)
    with qmqpd.connect() as sock:
        sock.sendall(sent[:50_000])
        port = f"::{sock.getsockname()[1]}\n"
        until(lambda: qmqpd.process.stderr.readline().endswith(port))
        qmqpd.process.send_signal(signal.SIGTERM)
        until(lambda: not answers(qmqpd.port))
        sock.sendall(sent[50_000:])
        assert b"Kok " in sock.recv(1000)
    assert " status 0\n" in qmqpd.stop() and len(qmqpd.host.queued()) == 1


def test_a_queue_program_of_the_administrator_is_run(qmqpd):
    qmqpd.host.rules("tcp.qmqp", "127.:allow,MARK=\"m\"\n")
    os.rename(f"{qmqpd.host.home}/bin/qmail-queue", f"{qmqpd.host.home}/bin/qmail-queue.old")
    with open(f"{qmqpd.host.home}/bin/qmail-queue", "w") as f:
        f.write("#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null\nprintf 'D%s' \"$TCPREMOTEIP $MARK\" >&6\nexit 82\n")
    os.chmod(f"{qmqpd.host.home}/bin/qmail-queue", 0o755)
    qmqpd.start()
    assert qmqpd.says(packet()) == wire.netstring(b"D127.0.0.1 m")
    assert all(field(pid, "NoNewPrivs") == ["0"] for pid in qmqpd.children())
