"""Courier IMAP on the accounts of the virtual system: Debian's programs, our authdaemond, ports of its own.

Courier's programs look for authdaemond at one place of the machine; here that is a directory that only the tests see.
"""
import imaplib
import os
import signal
import socket
import ssl
import subprocess

import pytest

from tests.peers import namespaces
from tests.peers.ports import free_port
from tests.peers.virtual import PASSWORD

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = "/run/courier"
SOCKET = f"{RUN}/authdaemon/socket"
PLACES = ("/", f"{ROOT}/.debian/courier-imap")     # where Debian puts it, or where tests/run unpacks it


class Courier:
    """`system`: the Virtual; `tree`: what `qmailctl imap courier` made; ports `imap` and `imaps` of 127.0.0.1."""

    def __init__(self, system, package):
        self.system, self.package = system, package
        self.tree = f"{system.home}/courier-imap"
        self.imap, self.imaps = free_port(), free_port()

    def ctl(self, *words):
        done = subprocess.run([f"{self.system.home}/bin/qmailctl", "imap", *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    def set_up(self, *words):
        return self.ctl("courier", "--imap", f"127.0.0.1:{self.imap}", "--imaps", f"127.0.0.1:{self.imaps}",
                        "--courier", self.package, *words)

    def setting(self, file, name, value):
        """Change a setting as an administrator would."""
        path = f"{self.tree}/etc/{file}"
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(f"{name}={value}" if line.startswith(f"{name}=") else line for line in lines))

    # ------------------------------------------------------------ clients

    def connect(self):
        return imaplib.IMAP4("127.0.0.1", self.imap, timeout=60)

    def connect_tls(self):
        return imaplib.IMAP4_SSL("127.0.0.1", self.imaps, timeout=60, ssl_context=self.trust())

    def login(self, address, password=PASSWORD):
        client = self.connect()
        client.login(address, password)
        return client

    def trust(self):
        """A TLS context that trusts the certificate of mkimapdcert, and nobody else's."""
        context = ssl.create_default_context(cafile=f"{self.tree}/share/imapd.pem")
        context.check_hostname = False          # it is in the name of control/me
        return context

    def ask(self, text, place=SOCKET):
        """What authdaemond answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(place)
            sock.sendall(text.encode() if isinstance(text, str) else text)
            answer = b""
            while data := sock.recv(65536):
                answer += data
            return answer.decode()

    def auth(self, address, password=PASSWORD, ip="192.0.2.1", service="imap"):
        data = f"{service}\nlogin\n{address}\n{password}\n"
        return self.ask(f"TCPREMOTEIP=::ffff:{ip}\nAUTH {len(data)}\n{data}")


@pytest.fixture(scope="module")
def domain(virtual):
    """A domain of one module's own: its name."""
    name = virtual.add_domain()
    yield name
    virtual.remove(name)


@pytest.fixture(scope="session")
def package():
    """The directory below which Debian's courier-imap lies."""
    for place in PLACES:
        if os.access(f"{place}/usr/lib/courier/courier/imaplogin", os.X_OK):
            return place
    pytest.fail("courier-imap is neither installed nor unpacked: tests/run does that")


@pytest.fixture(scope="session")
def run_courier(open_place):
    """/run/courier as the tests have it: empty."""
    ours, missing = f"{open_place}/run-courier", not os.path.isdir(RUN)
    os.mkdir(ours, 0o755)
    if missing:
        os.mkdir(RUN)
    namespaces.lay(ours, RUN)
    yield RUN
    namespaces.lift(RUN)
    if missing:
        os.rmdir(RUN)


@pytest.fixture(scope="session")
def clear_passwords(virtual):
    """with clear_passwords(): new accounts keep their clear passwords."""
    import contextlib

    @contextlib.contextmanager
    def keeping():
        path = f"{virtual.place}/options"
        before = open(path, encoding="ascii").read() if os.path.exists(path) else None
        with open(path, "w", encoding="ascii") as f:
            f.write((before or "") + "clear-passwd yes\n")
        os.chmod(path, 0o644)
        try:
            yield
        finally:
            if before is None:
                os.unlink(path)
            else:
                with open(path, "w", encoding="ascii") as f:
                    f.write(before)
    return keeping


@pytest.fixture(scope="session")
def courier(virtual, package, run_courier, clear_passwords):
    """Set up by one command, an administrator's change of IMAP_IDLE_TIMEOUT, started."""
    from pyqmail.install import users
    had_user = users.user_exists("authdaemon")
    found = Courier(virtual, package)
    try:
        with clear_passwords():                 # so that CRAM-MD5 is offered
            status, output = found.set_up()
        assert status == 0, output
        found.setting("imapd", "IMAP_IDLE_TIMEOUT", "1")
        status, output = found.ctl("start")
        assert status == 0, output
        virtual.wait(lambda: found.connect().logout())
        yield found
    finally:
        found.ctl("stop")
        end_watchers()
        if not had_user:
            subprocess.run(["userdel", "authdaemon"], capture_output=True)


def end_watchers():
    """imapd starts gamin's server for each uid, which stays for a while: those of these tests go now."""
    ours = os.readlink("/proc/self/ns/mnt")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as f:
                if f.read() == "gam_server\n" and os.readlink(f"/proc/{pid}/ns/mnt") == ours:
                    os.kill(int(pid), signal.SIGTERM)
        except OSError:
            pass                        # it has ended
