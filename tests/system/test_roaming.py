"""Roaming users: who has read his mail may relay from the same address, for a while. Our own listeners and tcpserver."""
import concurrent.futures
import contextlib
import ctypes
import os
import poplib
import smtplib
import socket
import subprocess
import time

import pytest

from pyqmail.vpopmail import roaming
from tests.peers.ports import free_port
from tests.peers.virtual import PASSWORD
from tests.thirdparty.conftest import tool

pytestmark = [pytest.mark.system, pytest.mark.root]
BURST = 200
AT_ONCE = 20


def rcpt(port, source, host="127.0.0.1"):
    """The code of RCPT for a host of somebody else's."""
    with smtplib.SMTP(host, port, timeout=60, source_address=(source, 0)) as smtp:
        smtp.ehlo()
        smtp.mail("a@there.test")
        return smtp.rcpt("b@elsewhere.test")[0]


class From(poplib.POP3):
    """poplib's client, from an address of choice."""

    def __init__(self, source, port, host="127.0.0.1"):
        self._source = source
        super().__init__(host, port, timeout=60)

    def _create_socket(self, timeout):
        return socket.create_connection((self.host, self.port), timeout, (self._source, 0))


def read_mail(port, source, name, password=PASSWORD, host="127.0.0.1"):
    connection = From(source, port, host)
    try:
        connection.user(name)
        connection.pass_(password)      # what follows the answer is the test's business: the login is effective now
    finally:
        connection.close()


_given = iter(range(1, 250))


def new_address():
    """An address of this machine that nobody has read mail from."""
    return f"127.77.{next(_given)}.1"


def make_old(virtual, *addresses):
    """Let the logins from these addresses be three hours old."""
    path = f"{virtual.place}/etc/open-smtp"
    with open(path, encoding="ascii") as f:
        lines = f.read().split("\n")
    with open(path, "w", encoding="ascii") as f:
        for line in filter(None, lines):
            rule, _, _ = line.partition("\t")
            f.write(f"{rule}\t{int(time.time()) - 3 * 3600}\n" if line.partition(":allow")[0] in addresses else f"{line}\n")


@pytest.fixture(scope="module")
def domain(virtual):
    with virtual.options("passwd no\n"):        # PAM takes two seconds for each refusal
        yield virtual.add_domain()


@contextlib.contextmanager
def tcpserver(virtual, *words):
    """The port of a program behind tcpserver."""
    port = free_port()
    argv = [tool("tcpserver", "ucspi-tcp"), "-HRl", "localhost", *words[0], "127.0.0.1", str(port), *words[1:]]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 60).close()
            return True
    try:
        virtual.wait(answers)
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def classic(virtual):
    """(SMTP, POP3) behind tcpserver: qmail-smtpd as qmaild with the rules that logins are added to, and vchkpw."""
    home = virtual.home
    smtpd = ("-x", f"{virtual.place}/etc/tcp.smtp.cdb"), "setpriv", "--reuid=qmaild", "--regid=nofiles", "--clear-groups", \
        f"{home}/bin/qmail-smtpd"
    popup = (), f"{home}/bin/qmail-popup", "mail.test", f"{virtual.place}/bin/vchkpw", f"{home}/bin/qmail-pop3d", "Maildir"
    with tcpserver(virtual, *smtpd) as smtp, tcpserver(virtual, *popup) as pop3:
        yield smtp, pop3


@pytest.fixture(params=["listeners", "tcpserver"])
def ports(request, virtual):
    """(SMTP, POP3)"""
    return (virtual.smtp, virtual.pop3) if request.param == "listeners" else request.getfixturevalue("classic")


def test_opened_by_a_login_and_closed_when_its_time_is_over(virtual, domain, ports):
    smtp, pop3 = ports
    mine, other = new_address(), new_address()
    assert rcpt(smtp, mine) == rcpt(smtp, other) == 553
    with contextlib.suppress(poplib.error_proto):
        read_mail(pop3, mine, f"postmaster@{domain}", "wrong")
    assert rcpt(smtp, mine) == 553
    read_mail(pop3, mine, f"postmaster@{domain}")
    assert (rcpt(smtp, mine), rcpt(smtp, other)) == (250, 553)
    virtual.run("clearopensmtp")
    assert rcpt(smtp, mine) == 250
    make_old(virtual, mine)
    virtual.run("clearopensmtp")
    assert rcpt(smtp, mine) == 553
    read_mail(pop3, mine, f"postmaster@{domain}")
    assert rcpt(smtp, mine) == 250


def test_what_opens_at_one_server_is_open_at_the_other(virtual, domain, classic):
    mine = new_address()
    read_mail(virtual.pop3, mine, f"postmaster@{domain}")
    assert rcpt(classic[0], mine) == rcpt(virtual.smtp, mine) == 250
    assert virtual.ctl("cdb")[0] == 0           # the fixed rules compiled anew: who may relay stays
    assert rcpt(classic[0], mine) == rcpt(virtual.smtp, mine) == 250


def test_a_user_who_may_not_relay_opens_nothing(virtual, domain, ports):
    smtp, pop3 = ports
    mine, joe = new_address(), virtual.add_user(f"u{os.urandom(4).hex()}@{domain}")
    virtual.run("vmoduser", "-r", joe)
    read_mail(pop3, mine, joe)
    assert rcpt(smtp, mine) == 553


def test_ipv6(virtual, domain, request):
    """By our own listeners: Debian's tcpserver knows IPv4 alone."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on this machine")
    smtp, pop3 = free_port(), free_port()
    before = {}
    for name, port in (("smtplisten", smtp), ("pop3listen", pop3)):
        path = f"{virtual.home}/control/{name}"
        with open(path, encoding="ascii") as f:
            before[path] = f.read()
        with open(path, "a", encoding="ascii") as f:
            f.write(f"[::1]:{port}\n")
    try:
        assert virtual.ctl("restart")[0] == 0
        assert rcpt(smtp, "::1", "::1") == 553
        read_mail(pop3, "::1", f"postmaster@{domain}", host="::1")
        assert rcpt(smtp, "::1", "::1") == 250
        make_old(virtual, "::1")
        virtual.run("clearopensmtp")
        assert rcpt(smtp, "::1", "::1") == 553
    finally:
        for path, text in before.items():
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        assert virtual.ctl("restart")[0] == 0


class Renames:
    """How often a file of this name came into a directory by rename, counted by the kernel (inotify)."""

    MOVED_TO = 0x80

    def __init__(self, directory):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._libc.inotify_add_watch(self._fd, os.fsencode(directory), self.MOVED_TO) >= 0

    def count(self, name):
        found = 0
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._fd, 1 << 16):
                while data:
                    size = 16 + int.from_bytes(data[12:16], "little")
                    found += data[16:size].rstrip(b"\0") == name
                    data = data[size:]
        os.close(self._fd)
        return found


def test_many_logins_make_few_tables_and_each_is_effective_when_it_is_answered(virtual, domain):
    renames = Renames(f"{virtual.place}/etc")

    def one(number):
        address = f"127.78.{number // 250}.{number % 250 + 1}"
        read_mail(virtual.pop3, address, f"postmaster@{domain}")
        return rcpt(virtual.smtp, address)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(one, range(BURST)))
    took = time.monotonic() - began
    made = renames.count(b"tcp.smtp.cdb")
    assert codes == [250] * BURST
    assert 1 <= made <= 2 + took / (0.9 * roaming.BETWEEN), took
    print(f"{BURST} logins, {took:.1f} s, {made} tables")
