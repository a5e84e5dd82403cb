"""qmail-rspawn as a process of its own in a private home, with a server to talk to."""
import contextlib
import errno
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import threading

import pytest

from pyqmail.base import child, sandbox
from pyqmail.programs import qmail_rspawn
from pyqmail.spawn import starter, wire
from tests.peers.smtp_host import Host

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOBODY = 65534
REPLIES = [b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 done\r\n"]


@pytest.fixture
def place(tmp_path):
    """A private home with one message, 5/5."""
    for name in ("bin", "control", "queue/mess/5", "queue/lock"):
        os.makedirs(tmp_path / name)
    os.symlink(os.path.join(ROOT, "pyqmail"), tmp_path / "pyqmail")
    for name in ("qmail-rspawn", "qmail-remote"):
        shutil.copy(os.path.join(ROOT, "bin", name), tmp_path / "bin" / name)
    (tmp_path / "control/me").write_bytes(b"me.example\n")
    (tmp_path / "queue/mess/5/5").write_bytes(b"hello\n")
    (tmp_path / "queue/lock/tcpto").write_bytes(b"x" * 1024)
    if os.geteuid() == 0:
        for path in (tmp_path, tmp_path / "queue/mess/5/5"):
            os.chown(path, NOBODY, NOBODY)
    return tmp_path


def spawner(place, *options, env=None):
    return subprocess.Popen([f"{place}/bin/qmail-rspawn", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={"PATH": f"{place}/bin:/usr/bin:/bin", **(env or {})})


def reports(place, orders, *options, env=None):
    """What a spawner says to these orders: (greeting, {delnum: text})."""
    width = 2 if options else 1
    with spawner(place, *options, env=env) as process:
        commands = b"".join(wire.order(*order, width=width) for order in orders)
        said, complaint = process.communicate(commands, timeout=100)
    assert (process.returncode, complaint) == (0, b"")
    return wire.read_hello(said[:width], width), {
        report.delnum: report.text for report in wire.ReportReader(width).feed(said[width:])}


class Server(threading.Thread):
    """Speaks to nobody before `together` connections are there; then serves them one after the other."""

    def __init__(self, together):
        super().__init__(daemon=True)
        self.together = together
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port = self.sock.getsockname()[1]

    def run(self):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.sock.accept()[0]) for _ in range(self.together)]
            for client in clients:
                for number, reply in enumerate(REPLIES):
                    heard, end = b"", b"\r\n.\r\n" if number == 5 else b"\r\n"
                    while number and not heard.endswith(end):
                        heard += client.recv(4096)
                    client.sendall(reply)


def test_three_hundred_slow_deliveries_in_one_process(place):
    server = Server(300)
    server.start()
    (place / "control/smtproutes").write_bytes(b":127.0.0.1:%d\n" % server.port)
    limit, said = reports(place, [(n, b"5/5", b"s@a", b"r@far.test") for n in range(300)], "--wide")
    assert 300 <= limit <= qmail_rspawn.WIDE_MAX
    assert said == dict.fromkeys(range(300), b"K127.0.0.1 accepted message.\nRemote host said: 250 done\n")


def test_hello_is_qmails_and_the_table_is_cleared(place):
    assert reports(place, []) == (120, {})
    assert (place / "queue/lock/tcpto").read_bytes() == bytes(1024)


def test_orders_are_checked(place):
    _, said = reports(place, [(200, b"5/5", b"", b"r@h"), (1, b"../5", b"", b"r@h"), (2, b"5/6", b"", b"r@h"),
                              (3, b"5/5", b"", b"r")])
    assert {number: text[:1] for number, text in said.items()} == {200: b"Z", 1: b"D", 2: b"Z", 3: b"D"}


def program(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


ORDER = [(7, b"5/5", b"s@a", b"r@b@Far.Test")]


def test_a_program_in_the_place_of_qmail_remote_is_run(place):
    program(place / "bin/qmail-remote", "printf 'r%s %s %s ' \"$1\" \"$2\" \"$3\"; cat; printf '\\0K\\0'\n")
    assert reports(place, ORDER)[1] == {7: b"KFar.Test s@a r@b@Far.Test hello\n"}


def test_qmailremote_comes_first(place):
    program(place / "other", "printf 'rfrom other\\0K\\0'\n")
    assert reports(place, ORDER, env={"QMAILREMOTE": f"{place}/other"})[1] == {7: b"Kfrom other"}


@pytest.mark.parametrize("env", [{}, {"QMAILREMOTE": "/nowhere/at/all"}])
def test_a_missing_program_does_not_bounce_mail(place, env):
    (place / "bin/qmail-remote").unlink()
    assert reports(place, ORDER, env=env)[1] == {7: b"ZUnable to run qmail-remote.\n"}


def test_output_of_a_child_that_outlives_the_program_belongs_to_the_report(place):
    program(place / "bin/qmail-remote", "printf r; (read x <&1; true); (printf 'late\\0K\\0') &\n")
    assert reports(place, ORDER)[1] == {7: b"Klate"}


def answers(process, number):
    """The report on one more order."""
    process.stdin.write(wire.order(number, *ORDER[0][1:]))
    process.stdin.flush()
    said = b""
    while not said.endswith(b"\0") or len(said) < 2:
        said += process.stdout.read(1)
    [report] = wire.ReportReader().feed(said)
    assert report.delnum == number
    return report.text


def test_a_program_that_comes_later_is_run_and_may_do_what_it_likes(place):
    """What the worker is confined to is not in its way."""
    (place / "control/smtproutes").write_bytes(b":127.0.0.1:9\n")
    with spawner(place) as process:
        assert process.stdout.read(1) == b"x"
        assert answers(process, 1).startswith(b"ZSorry")
        program(place / "bin/qmail-remote", "read x < /proc/version; printf 'r%s\\0K\\0' \"$x\"; /bin/true || exit 1\n")
        assert answers(process, 2).startswith(b"KLinux")
        process.stdin.close()
    assert process.returncode == 0


def test_control_files_that_move_elsewhere(place):
    """Another worker takes over, which can read them; nobody notices."""
    os.mkdir(place / "elsewhere")
    os.chmod(place / "elsewhere", 0o755)
    server = Server(1)
    server.start()
    with spawner(place) as process:
        assert process.stdout.read(1) == b"x"
        (place / "control/smtproutes").write_bytes(b":127.0.0.1:9\n")
        assert answers(process, 1).startswith(b"ZSorry")
        before = workers(process.pid)
        (place / "elsewhere/routes").write_bytes(b":127.0.0.1:%d\n" % server.port)
        (place / "control/smtproutes").unlink()
        os.symlink(place / "elsewhere/routes", place / "control/smtproutes")
        assert answers(process, 2).startswith(b"K127.0.0.1 accepted message")
        after = workers(process.pid)
        assert len(before) == len(after) == 1
        assert sandbox.missing() or before != after
        process.stdin.close()
    assert process.returncode == 0


def workers(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return f.read().split()


def test_it_ends_with_its_worker(place):
    with spawner(place) as process:
        assert process.stdout.read(1) == b"x"
        [worker] = workers(process.pid)
        os.kill(int(worker), signal.SIGKILL)
        assert process.wait(100) == 111
        assert process.stdout.read() == b""


def test_its_worker_ends_with_it(place):
    with spawner(place) as process:
        assert process.stdout.read(1) == b"x"
        process.kill()
        assert process.stdout.read() == b""


def test_nothing_is_run_while_qmail_remote_is_ours():
    """Whatever a worker that has been taken over asks for."""
    def live(guardian, _):
        outputs = []
        for words in (b"h\0s\0r", b"h\0s", b"h\0s\0r\0more"):
            reader, writer = os.pipe()
            socket.send_fds(guardian, [words], [0, writer, writer])
            os.close(writer)
            outputs.append(os.read(reader, 100))
        return 7 if outputs == [b""] * 3 else 8
    assert child.wait(child.fork(lambda: starter.guard(live, lambda: None))) == 7


def test_a_request_that_cannot_be_taken_now_is_taken_later(monkeypatch):
    take, failures = socket.recv_fds, [OSError(errno.ENOMEM, "none left")]

    def failing(*words):
        if failures:
            raise failures.pop()
        return take(*words)

    def live(guardian, _):
        reader, writer = os.pipe()
        socket.send_fds(guardian, [b"h\0s\0r"], [0, writer, writer])
        os.close(writer)
        return 7 if select.select([reader], [], [], 60)[0] and os.read(reader, 100) == b"" else 8
    monkeypatch.setattr(socket, "recv_fds", failing)
    assert child.wait(child.fork(lambda: starter.guard(live, lambda: None))) == 7


def test_no_queue_no_greeting(place):
    shutil.rmtree(place / "queue/mess")
    with spawner(place) as process:
        assert process.communicate(timeout=100) == (b"", b"")
    assert process.returncode == 111


def test_descriptor_2_may_be_closed(place):
    """As qmail-start leaves it: nothing that is opened later may become it."""
    with subprocess.Popen(["/bin/sh", "-c", f"exec 2>&-; exec {place}/bin/qmail-rspawn"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdin.write(b"")
        assert process.stdout.read(1) == b"x"
        assert os.path.realpath(f"/proc/{process.pid}/fd/2") == "/dev/null"
        process.stdin.close()
    assert process.returncode == 0


RECIPIENTS = [(1, b"5/5", b"s@a", b"x@far.test"), (2, b"5/5", b"s@a", b"y@far.test"), (2, b"5/5", b"s@a", b"z@far.test"),
              (3, b"5/5", b"t@a", b"x@far.test"), (4, b"5/5", b"s@a", b"z@FAR.test"), (5, b"5/5", b"s@a", b"x@far.test")]


@pytest.mark.parametrize("number, transactions", [
    (b"1", [1, 1, 1, 1, 1]),        # as qmail does it
    (b"10", [1, 1, 3]),             # by sender; equal recipients get a copy each
])
def test_recipients_of_one_message_at_one_host(place, number, transactions):
    """Each has a report of its own, whoever it shares a copy with. (A number that is in use is no reason to stop.)"""
    (place / "control/remoterecipients").write_bytes(number + b"\n")
    with Host() as host:
        (place / "control/smtproutes").write_bytes(b":127.0.0.1:%d\n" % host.port)
        _, said = reports(place, RECIPIENTS)
        got = sorted((sender, *recipients) for sender, recipients, _ in host.messages)
    assert set(said) == {1, 2, 3, 4, 5} and sorted(len(envelope) - 1 for envelope in got) == transactions
    assert {said[number] for number in (1, 3, 4, 5)} == {b"K127.0.0.1 accepted message.\nRemote host said: 250 taken\n"}
    assert sorted(envelope[1:] for envelope in got if envelope[0] == b"FROM:<t@a>") == [(b"TO:<x@far.test>",)]
