"""qmail-smtpd --listen as its real users: who reads strangers' bytes, what is queued, how it ends."""
import contextlib
import glob
import os
import pwd
import select
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

import pytest

from pyqmail.base import listen
from tests.peers.ports import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = pytest.mark.root
PRINTS = """#!/bin/sh
cat >/dev/null; cat <&1 >/dev/null
printf 'D%s' "$TCPREMOTEIP $TCPLOCALHOST $PROTO $MARK $(umask)" >&6
exit 82
"""


def status(pid, field):
    with open(f"/proc/{pid}/status") as f:
        return next(line.split()[1:] for line in f if line.startswith(field + ":"))


def read(name):
    with open(name, "rb") as f:
        return f.read()


def workers(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(word) for word in f.read().split()]


def opened(*pids):
    """What these processes have open beside their first three: kinds, and names of files."""
    found = set()
    for pid in pids:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):        # closed since
                if int(fd) > 2:
                    found.add(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0])
    return found


def eventually(condition):
    """Wait until it holds: the workers start one after the other."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        select.select([], [], [], 0.01)


class Server:
    def __init__(self, home):
        self.home = home
        self.port = free_port()
        self.control(me="mx.example", rcpthosts="local.test", smtplisten=f"127.0.0.1:{self.port}\n[::1]:{self.port}")
        self.process, self.log, self.streams = None, "", []

    def control(self, **files):
        for name, text in files.items():
            path = f"{self.home}/control/{name}"
            if text is None:
                os.unlink(path)
                continue
            with open(path + ".new", "w") as f:
                f.write(text + "\n")
            os.rename(path + ".new", path)

    def rules(self, text):
        subprocess.run([f"{self.home}/bin/tcprules", f"{self.home}/control/tcp.smtp.cdb",
            f"{self.home}/control/tcp.tmp"],
                       input=text.encode(), check=True)

    def program(self, text):
        path = f"{self.home}/bin/test-queue"
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o755)
        return path

    def start(self, *options):
        self.process = subprocess.Popen([f"{self.home}/bin/qmail-smtpd", "--listen", *options],
            stderr=subprocess.PIPE, text=True)
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except ConnectionRefusedError:
                select.select([], [], [], 0.01)
        raise AssertionError(self.process.communicate()[1])

    def client(self, host="127.0.0.1"):
        return smtplib.SMTP(host, self.port, local_hostname="client.example", timeout=60)

    def raw(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        stream = sock.makefile("rwb", buffering=0)
        sock.close()
        self.streams.append(stream)
        return stream

    def stop(self):
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            self.log = self.process.communicate(timeout=100)[1]
        return self.log


@pytest.fixture
def server(libraries):
    home = tempfile.mkdtemp()
    os.chmod(home, 0o755)
    shutil.copytree(f"{ROOT}/bin", f"{home}/bin")
    os.symlink(f"{ROOT}/pyqmail", f"{home}/pyqmail")
    os.symlink(libraries, f"{home}/venv")
    os.mkdir(f"{home}/control")
    made = Server(home)
    yield made
    for stream in made.streams:
        stream.close()
    if made.process is not None and not made.process.stderr.closed:
        made.process.kill()
        made.process.communicate()
    shutil.rmtree(home)


@pytest.fixture
def queue(server):
    """The real queue service for that home; gives a function that lists the messages queued."""
    for directory in ["pid", "intd", "todo", "lock", *(f"mess/{n}" for n in range(23))]:
        os.makedirs(f"{server.home}/queue/{directory}")
    os.makedirs(f"{server.home}/run/qmail-queue")
    role = pwd.getpwnam("qmailq")
    for path in (f"{server.home}/queue", f"{server.home}/run/qmail-queue"):
        for place, _, _ in os.walk(path):
            os.chown(place, role.pw_uid, role.pw_gid)
    with subprocess.Popen([f"{server.home}/bin/qmail-queue", "--service"]) as service:
        try:
            eventually(lambda: os.path.exists(f"{server.home}/run/qmail-queue/socket"))
            yield lambda: [read(name) for name in glob.glob(f"{server.home}/queue/mess/*/*")]
        finally:
            service.terminate()


def test_who_serves(server):
    server.start()
    role = pwd.getpwnam("qmaild")
    with server.client() as client:
        assert client.noop()[0] == 250
        for pid in [server.process.pid, *workers(server.process.pid)]:
            assert status(pid, "Uid") == [str(role.pw_uid)] * 4 and status(pid, "Gid") == [str(role.pw_gid)] * 4
            assert status(pid, "Groups") == [str(role.pw_gid)] and status(pid, "CapEff") == ["0" * 16]
            assert status(pid, "Umask") == ["0022"]
        eventually(lambda: all(status(pid, "NoNewPrivs") == ["1"] for pid in workers(server.process.pid)))
        eventually(lambda: opened(server.process.pid, *workers(server.process.pid)) ==
                   {"socket", "pipe", "anon_inode", "/memfd"})      # besides what one opens for a moment
    assert server.stop() == "" and server.process.returncode == 0


@pytest.mark.parametrize("host, shown", [("127.0.0.1", b"127.0.0.1"), ("::1", b"::1")])
def test_message_is_queued(server, queue, host, shown):
    server.start()
    text = b"Subject: x\r\n\r\n.dot\r\n" + b"line of a long message\r\n" * 50_000
    with server.client(host) as client:
        assert client.sendmail("s@far.test", ["r@local.test", "x@far.test"], text) == {
            "x@far.test": (553, b"sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)")}
    message, = queue()
    lines = message.split(b"\n", 3)
    assert b" invoked from network); " in lines[0]
    assert lines[1] == b"Received: from unknown (HELO client.example) (%b)" % shown
    assert lines[2].startswith(b"  by mx.example with SMTP; ")
    assert lines[3] == text.replace(b"\r\n", b"\n")


def test_many_messages_at_once(server, queue):
    server.start()
    streams = [server.raw() for _ in range(30)]
    for stream in streams:
        assert stream.readline() == b"220 mx.example ESMTP\r\n"
        stream.write(b"MAIL FROM:<a@b>\r\nRCPT TO:<r@local.test>\r\nDATA\r\n")
    for stream in streams:
        assert [stream.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        stream.write(b"x\r\n.\r\n")
    for stream in streams:
        assert stream.readline().startswith(b"250 ok ")
        stream.close()
    assert len(queue()) == 30


def test_client_that_stops_sending_hears_all_replies(server, queue):
    server.start()
    stream = server.raw()
    stream.write(b"MAIL FROM:<a@b>\r\nRCPT TO:<r@local.test>\r\nDATA\r\n")
    for _ in range(4):
        stream.readline()
    stream.write(b"x\r\n.\r\nNOOP\r\n")
    stream._sock.shutdown(socket.SHUT_WR)
    assert stream.readline().startswith(b"250 ok ") and stream.readline() == b"250 ok\r\n" and stream.readline() == b""
    assert len(queue()) == 1


def test_without_the_queue_service_mail_waits(server):
    server.start()
    with server.client() as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.sendmail("s@far.test", ["r@local.test"], b"x")
    assert (refused.value.smtp_code, refused.value.smtp_error) == (451, b"qq trouble creating files in queue (#4.3.0)")


def test_rules_and_variables(server):
    program = server.program(PRINTS)
    server.rules(f'127.:allow,QMAILQUEUE="{program}",MARK="from rules",RELAYCLIENT=""\n')
    server.start()
    with server.client() as client:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("s@far.test", ["anybody@far.test"], b"x")
    assert refused.value.smtp_error == b"127.0.0.1 mx.example TCP from rules 0022"


def test_denied_and_refused_clients(server):
    server.rules("127.:deny\n")
    server.start("-v")
    assert server.raw().readline() == b""
    server.rules(':allow,RBLSMTPD="-go away"\n')
    with server.client() as client:
        assert client.ehlo()[0] == 250 and client.mail("a@b")[0] == 250
        assert client.rcpt("r@local.test") == (553, b"go away")
    server.rules(':allow,RBLSMTPD=""\n')
    with server.client() as client:
        assert client.docmd("MAIL", "FROM:<>")[0] == 250 and client.rcpt("r@local.test")[0] == 250
    assert ": deny " in server.stop()


def test_queue_program_that_appears_later_may_gain_rights(server):
    """A worker that gave up the right to run set-uid programs makes room for one that did not."""
    count = min(len(os.sched_getaffinity(0)), listen.PROCESSES)
    server.control(concurrencyincoming=str(2 * count))
    server.start()
    eventually(lambda: len(workers(server.process.pid)) == count)
    before = workers(server.process.pid)
    server.rules(f':allow,QMAILQUEUE="{server.program(PRINTS)}"\n')
    held = []                       # kept open: a worker that is full leaves the next client to another

    def replaced():
        if len(held) < 100:
            held.append(server.raw())
        return not set(workers(server.process.pid)) & set(before)
    eventually(replaced)
    for client in held:
        client.close()
    with server.client() as client, pytest.raises(smtplib.SMTPDataError):
        client.sendmail("s@far.test", ["r@local.test"], b"x")
    assert all(status(pid, "NoNewPrivs") == ["0"] for pid in workers(server.process.pid))


def test_new_control_files_count_for_the_next_client(server):
    server.start()
    with server.client() as client:
        server.control(rcpthosts="other.test", smtpgreeting="new.example")
        client.docmd("MAIL", "FROM:<>")
        assert client.rcpt("r@local.test")[0] == 250
    with server.client() as client:
        assert client.docmd("MAIL", "FROM:<>")[0] == 250 and client.rcpt("r@local.test")[0] == 553
        assert client.rcpt("r@other.test")[0] == 250
    server.process.send_signal(signal.SIGHUP)
    assert server.raw().readline() == b"220 new.example ESMTP\r\n"
    os.unlink(f"{server.home}/control/smtpgreeting")
    os.mkdir(f"{server.home}/control/smtpgreeting")
    assert server.raw().readline() == b"421 unable to read controls (#4.3.0)\r\n"
    assert "smtpgreeting" in server.stop()


def test_the_limit_holds_back_the_next_client(server):
    server.control(concurrencyincoming="2")
    server.start("-v")
    first, second = server.raw(), server.raw()
    assert first.readline() and second.readline()
    third = server.raw()
    first.close()
    assert third.readline() == b"220 mx.example ESMTP\r\n"
    assert "status: 2/2" in server.stop() and "status: 3/2" not in server.log


def test_timeout_is_one_for_each_read(server):
    server.control(timeoutsmtpd="1")
    server.start()
    stream = server.raw()
    assert [stream.readline() for _ in range(3)] == [b"220 mx.example ESMTP\r\n", b"451 timeout (#4.4.2)\r\n", b""]


def test_term_lets_messages_finish(server, queue):
    server.start()
    idle, busy = server.raw(), server.raw()
    idle.readline()
    busy.write(b"MAIL FROM:<a@b>\r\nRCPT TO:<r@local.test>\r\nDATA\r\n")
    while busy.readline() != b"354 go ahead\r\n":
        pass
    server.process.send_signal(signal.SIGTERM)
    assert idle.readline() == b"421 shutting down (#4.3.2)\r\n" and idle.readline() == b""
    busy.write(b"x\r\n.\r\n")
    assert busy.readline().startswith(b"250 ok ") and busy.readline() == b"421 shutting down (#4.3.2)\r\n"
    assert server.process.wait(100) == 0 and len(queue()) == 1


def test_client_that_reads_nothing_is_not_read_from(server):
    server.start()
    stream = server.raw()
    stream._sock.setblocking(False)
    sent = 0
    while select.select([], [stream], [], 1)[1]:
        sent += stream._sock.send(b"HELP\r\n" * 10_000)
        assert sent < 1 << 26
    assert all(int(status(pid, "VmRSS")[0]) < 60_000 for pid in workers(server.process.pid))
    with server.client() as other:
        assert other.noop()[0] == 250


def test_without_the_right_to_the_port(server):
    server.control(smtplisten="192.0.2.123:25")
    with pytest.raises(AssertionError, match="unable to bind 192.0.2.123:25"):
        server.start()
