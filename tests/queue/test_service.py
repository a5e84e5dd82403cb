"""The queue service with real processes: who may, what it answers, and that one client's trouble is his own."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIRECTORIES = ["pid", "intd", "todo", "lock", *(f"mess/{n}" for n in range(23))]

ENVELOPE = b"Fs@a\0Tr@b\0\0"

CLIENT = """
import sys
sys.path.insert(0, {home!r})
from pyqmail.queue.client import Submission
with Submission() as queue:
    queue.put(sys.stdin.buffer.read())
    if {broken}:
        queue.fail()
    print(queue.finish(b"s@a", [b"r@b"]).decode(), queue.qp)
"""


class Home:
    """A private home (or, as root, one with separate roles) with a running queue service."""

    def __init__(self, path):
        self.path = str(path)
        os.chmod(path, 0o755)
        for name in ("bin", "control", "run/qmail-queue"):
            os.makedirs(path / name)
        os.symlink(os.path.join(ROOT, "pyqmail"), path / "pyqmail")
        shutil.copy(os.path.join(ROOT, "bin/qmail-queue"), path / "bin/qmail-queue")
        for name in DIRECTORIES:
            os.makedirs(path / "queue" / name)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "qmailq:qmail", path / "queue", path / "run/qmail-queue"], check=True)
        self.service = None

    def start(self, *options):
        service = subprocess.Popen([f"{self.path}/bin/qmail-queue", "--service", *options],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.service = self.service or service
        return service

    def wait_ready(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                return self.connect().close()
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the service did not come up")

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(f"{self.path}/run/qmail-queue/socket")
        except OSError:
            sock.close()
            raise
        return sock

    def submit(self, message=b"Subject: x\n\nbody\n", broken=False, **options):
        """Words of the in-process client: the answer (empty = accepted) and qp."""
        code = CLIENT.format(home=self.path, broken=broken)
        done = subprocess.run([sys.executable, "-IS", "-c", code], input=message, capture_output=True, timeout=100,
                              check=False, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def execute(self, message, envelope, **options):
        """bin/qmail-queue's exit code."""
        with tempfile.TemporaryFile() as held:
            held.write(envelope)
            held.seek(0)
            return subprocess.run([f"{self.path}/bin/qmail-queue"], input=message, stdout=held, check=False,
                                  **options).returncode

    def todo(self):
        return os.listdir(f"{self.path}/queue/todo")


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    for directory in [tmp_path, *tmp_path.parents][:-2]:    # other users must get here when we are root
        if os.stat(directory).st_uid == os.getuid():
            os.chmod(directory, os.stat(directory).st_mode | 0o011)
    home.start()
    home.wait_ready()
    yield home
    home.service.terminate()
    home.service.communicate(timeout=100)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(word) for word in f.read().split()]


def test_a_message_goes_through_and_gets_a_number(home):
    answer = home.submit()
    assert answer.isdigit() and int(answer) > 1 << 22       # accepted: no text, only qp
    [number] = home.todo()
    with open(f"{home.path}/queue/todo/{number}", "rb") as f:
        assert f.read() == b"u%d\0p%s\0Fs@a\0Tr@b\0" % (os.getuid(), answer.encode())


def test_a_broken_off_message_is_not_queued(home):
    assert home.submit(broken=True).startswith("Zqq read error (#4.3.0)")
    assert home.todo() == [] and os.listdir(f"{home.path}/queue/intd") == []


def test_large_messages_pass_in_pieces(home):
    body = b"x" * 70 + b"\n"
    home.submit(body * 200_000)
    [number] = home.todo()
    assert os.path.getsize(f"{home.path}/queue/mess/{int(number) % 23}/{number}") > 200_000 * len(body)


def test_many_at_once_each_get_their_own_number(home):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(home.submit())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 8 and len(home.todo()) == 8


def test_a_silent_client_costs_nobody_else_anything(home):
    with home.connect():
        assert home.submit().isdigit()


def test_rubbish_on_the_socket_is_dropped(home):
    assert home.submit().isdigit()                          # now the worker has all its descriptors
    fds_before = len(os.listdir(f"/proc/{children(home.service.pid)[0]}/fd"))
    for packet in (b"", b"XYZ", b"QQ1", b"QQ2", b"QQ3C" * 50, b"QQ2\xff\xff\xff\xff", b"QQ2" + b"\0" * 65_534):
        with home.connect() as sock:
            sock.send(packet)
            sock.settimeout(60)
            assert sock.recv(10) == b""                     # closed without an answer
    assert home.submit().isdigit()
    assert len(os.listdir(f"/proc/{children(home.service.pid)[0]}/fd")) == fds_before


@pytest.mark.root
def test_one_user_cannot_take_all_places(home):
    places = 100
    held = [home.connect() for _ in range(places)]
    with home.connect() as sock:
        sock.settimeout(60)
        assert sock.recv(10) == b"71 0"
    for sock in held:
        sock.close()


def test_a_killed_worker_is_replaced(home):
    home.submit()                       # the socket is there before the worker is
    [worker] = children(home.service.pid)
    os.kill(worker, signal.SIGKILL)
    end = time.monotonic() + 60
    while children(home.service.pid) in ([worker], []) and time.monotonic() < end:
        time.sleep(0.02)
    assert home.submit().isdigit()


def test_a_second_service_takes_over(home):
    second = home.start()
    home.service.terminate()
    home.service.wait(60)
    home.service, first = second, home.service
    home.wait_ready()
    assert home.submit().isdigit()
    first.communicate()


def test_it_ends_with_the_process_it_follows(home):
    leader = subprocess.Popen(["sleep", "1000"])
    follower = home.start("--follow", str(leader.pid))
    leader.kill()
    leader.wait()
    assert follower.wait(60) == 0
    follower.communicate()


def test_stopping_takes_the_name_away_and_the_service_is_missed(home):
    home.service.terminate()
    home.service.wait(60)
    assert not os.path.exists(f"{home.path}/run/qmail-queue/socket")


def test_a_foreign_qmail_queue_is_run_instead(home):
    with open(f"{home.path}/bin/qmail-queue", "w", encoding="ascii") as f:
        f.write("#!/bin/sh\ncat >/dev/null\nprintf 'Dnot here (#5.0.0)' >&6\nexit 82\n")
    assert home.submit().startswith("Dnot here (#5.0.0)")


@pytest.mark.parametrize("code, answer", [(31, "Dmail server permanently rejected message (#5.3.0)"),
                                          (53, "Zqq write error or disk full (#4.3.0)"),
                                          (35, "Dqq permanent problem (#5.3.0)"), (99, "Zqq temporary problem (#4.3.0)")])
def test_qmailqueue_names_another_program(home, tmp_path, code, answer):
    program = tmp_path / "filter"
    program.write_text(f"#!/bin/sh\ncat >/dev/null\nexit {code}\n")
    program.chmod(0o755)
    assert home.submit(env={"QMAILQUEUE": str(program)}).startswith(answer)
    assert home.submit(env={"QMAILQUEUE": str(tmp_path / "absent")}).startswith("Zunable to exec qq (#4.3.0)")


def run_as_stranger():
    os.setgroups([])
    os.setgid(54321)
    os.setuid(54321)


@pytest.mark.root
def test_strangers_submit_through_the_service_and_own_nothing(home):
    assert home.submit(preexec_fn=run_as_stranger).isdigit()
    [number] = home.todo()
    found = os.stat(f"{home.path}/queue/todo/{number}")
    import pwd
    assert found.st_uid == pwd.getpwnam("qmailq").pw_uid
    with open(f"{home.path}/queue/todo/{number}", "rb") as f:
        assert f.read().startswith(b"u54321\0")


@pytest.mark.root
def test_the_service_is_qmailq_and_nothing_else(home):
    import grp
    import pwd
    for pid in (home.service.pid, *children(home.service.pid)):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        uid, gid = pwd.getpwnam("qmailq").pw_uid, grp.getgrnam("qmail").gr_gid
        assert status["Uid"].split() == [str(uid)] * 4 and status["Gid"].split() == [str(gid)] * 4
        assert sorted(status["Groups"].split()) == sorted([str(gid), str(grp.getgrnam("nofiles").gr_gid)])
        assert int(status["CapEff"], 16) == 0 and int(status["Umask"], 8) == 0o033
        assert os.readlink(f"/proc/{pid}/cwd") == f"{home.path}/queue"


@pytest.mark.root
def test_root_inserts_without_the_service(home):
    home.service.terminate()
    home.service.wait(60)
    assert home.execute(b"hi\n", ENVELOPE) == 0 and len(home.todo()) == 1


@pytest.mark.root
@pytest.mark.parametrize("envelope", [ENVELOPE, b"", b"X"])
def test_others_get_a_temporary_error_without_the_service(home, envelope):
    """Whatever they hand in: the files would be made before it is read."""
    home.service.terminate()
    home.service.wait(60)
    assert home.execute(b"hi\n", envelope, preexec_fn=run_as_stranger) == 62 and home.todo() == []


@pytest.mark.root
@pytest.mark.parametrize("message", [b"", b"hi\n", b"x" * 40_000, b"y" * 1_000_000])
@pytest.mark.parametrize("envelope, code", [
    (ENVELOPE, 0), (ENVELOPE + b"trailing", 0), (b"Fs@a\0" + b"Tr@b\0" * 20_000 + b"\0", 0), (b"", 54), (b"Fs@a\0", 54),
    (b"X", 91), (b"F" + b"s" * 1003 + b"\0\0", 11)])
def test_the_program_hands_on_what_it_reads(home, message, envelope, code):
    assert home.execute(message, envelope, preexec_fn=run_as_stranger) == code
    if code:
        assert home.todo() == [] and os.listdir(f"{home.path}/queue/pid") == []
        return
    [number] = home.todo()
    with open(f"{home.path}/queue/todo/{number}", "rb") as f:
        kept = f.read()
    with open(f"{home.path}/queue/mess/{int(number) % 23}/{number}", "rb") as f:
        received, _, text = f.read().partition(b"\n")
    who, pid, rest = kept.split(b"\0", 2)
    assert (who, rest) == (b"u54321", envelope.partition(b"\0\0")[0] + b"\0") and text == message
    assert int(pid[1:]) < 1 << 22           # its own number, which its parent knows
    assert received.startswith(b"Received: (qmail %b invoked by uid 54321); " % pid[1:])


def test_the_envelope_may_stay_open_behind_its_end(home):
    """Whoever writes it waits for the answer before he closes anything."""
    reader, writer = os.pipe()
    os.write(writer, ENVELOPE)
    done = subprocess.run([f"{home.path}/bin/qmail-queue"], input=b"hi\n", stdout=reader, check=False, timeout=100)
    os.close(reader)
    os.close(writer)
    assert done.returncode == 0 and len(home.todo()) == 1
