"""Installations with a queue service and servers of QMTP and QMQP, run as their real users."""
import glob
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Host:
    """A home with this checkout's programs. within: words before each command, to run it in a network
    namespace."""

    def __init__(self, libraries, within=()):
        self.home, self.within = tempfile.mkdtemp(prefix="pyqmail-qmtp."), list(within)
        os.chmod(self.home, 0o755)
        shutil.copytree(f"{ROOT}/bin", f"{self.home}/bin")
        os.symlink(f"{ROOT}/pyqmail", f"{self.home}/pyqmail")
        os.symlink(libraries, f"{self.home}/venv")
        os.mkdir(f"{self.home}/control")
        self.running = []

    def control(self, **files):
        for name, text in files.items():
            with open(f"{self.home}/control/{name}", "w") as f:
                f.write(text + "\n")

    def rules(self, name, text):
        subprocess.run([f"{self.home}/bin/tcprules", f"{self.home}/control/{name}.cdb", f"{self.home}/control/tcp.tmp"],
                       input=text.encode(), check=True)

    def command(self, program, *arguments):
        return [*self.within, f"{self.home}/bin/{program}", *arguments]

    def start(self, program, *arguments, **how):
        self.running.append(subprocess.Popen(self.command(program, *arguments), **how))
        return self.running[-1]

    def queue(self):
        """Start a queue service of this host's own."""
        for directory in ["pid", "intd", "todo", "lock", *(f"mess/{n}" for n in range(23))]:
            os.makedirs(f"{self.home}/queue/{directory}")
        os.makedirs(f"{self.home}/run/qmail-queue")
        role = pwd.getpwnam("qmailq")
        for path in (f"{self.home}/queue", f"{self.home}/run/qmail-queue"):
            for place, _, _ in os.walk(path):
                os.chown(place, role.pw_uid, role.pw_gid)
        service = self.start("qmail-queue", "--service")
        until(lambda: service.poll() is None and os.path.exists(f"{self.home}/run/qmail-queue/socket"))
        return self

    def queued(self):
        """The messages whose envelope is complete, as bytes."""
        found = []
        for path in glob.glob(f"{self.home}/queue/todo/*"):
            number = os.path.basename(path)
            with open(f"{self.home}/queue/mess/{int(number) % 23}/{number}", "rb") as f:
                found.append(f.read())
        return found

    def end(self):
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(timeout=100)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
                stream.close()
        shutil.rmtree(self.home)


def until(ready):
    """Wait for something that another process does."""
    for _ in range(3000):
        if ready():
            return
        select.select([], [], [], 0.01)
    raise AssertionError("waited in vain")


def answers(port):
    """True if somebody listens at this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except ConnectionRefusedError:
        return False


@pytest.fixture
def host(libraries):
    """host(within): a new Host, gone after the test."""
    made = []

    def make(within=()):
        made.append(Host(libraries, within))
        return made[-1]
    yield make
    for one in made:
        one.end()
