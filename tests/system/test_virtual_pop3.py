"""POP3 for users of virtual domains: our listener and the classic chain behind tcpserver, passwords and APOP."""
import contextlib
import os
import poplib
import smtplib
import subprocess
import time

import pytest

from tests.peers.ports import free_port
from tests.peers.virtual import PASSWORD
from tests.thirdparty.conftest import tool

pytestmark = [pytest.mark.system, pytest.mark.root]


@contextlib.contextmanager
def login(port, name, password=PASSWORD, apop=False, host="127.0.0.1"):
    connection = poplib.POP3(host, port, timeout=60)
    try:
        if apop:
            connection.apop(name, password)
        else:
            connection.user(name)
            connection.pass_(password)
        yield connection
    finally:
        connection.close()


def refused(port, name, password=PASSWORD, apop=False):
    with pytest.raises(poplib.error_proto) as why, login(port, name, password, apop):
        pass
    return why.value.args[0]


@pytest.fixture(scope="module")
def domain(virtual):
    return virtual.add_domain()


@pytest.fixture(scope="module")
def classic(virtual):
    """The port of tcpserver with qmail-popup, vchkpw and qmail-pop3d, by the paths of the old documents."""
    port = free_port()
    words = [tool("tcpserver", "ucspi-tcp"), "-vHRl", "localhost", "127.0.0.1", str(port), f"{virtual.home}/bin/qmail-popup",
             "mail.test", f"{virtual.place}/bin/vchkpw", f"{virtual.home}/bin/qmail-pop3d", "Maildir"]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        try:
            poplib.POP3("127.0.0.1", port, timeout=60).quit()
            return True
        except ConnectionRefusedError:
            return False
    try:
        virtual.wait(answers)
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(params=["listener", "classic"])
def port(request, virtual):
    """Where POP3 is served, in both ways."""
    return virtual.pop3 if request.param == "listener" else request.getfixturevalue("classic")


def deliver(virtual, address, *subjects):
    with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60) as smtp:
        for subject in subjects:
            smtp.sendmail("sender@there.test", [address], f"Subject: {subject}\n\nhello\n")
    virtual.wait(lambda: len(virtual.messages(address)) == len(subjects))
    place = f"{virtual.user_directory(address)}/Maildir/new"
    newest = max(int(os.stat(f"{place}/{name}").st_mtime) for name in os.listdir(place))
    virtual.wait(lambda: int(time.time()) > newest)     # qmail-pop3d leaves what comes in this very second to the next session


def test_by_password(virtual, domain, port):
    joe = virtual.add_user(f"u{os.urandom(4).hex()}@{domain}")
    deliver(virtual, joe, "one", "two")
    with login(port, joe.upper()) as connection:
        count, size = connection.stat()
        assert count == 2 and size == sum(map(len, virtual.messages(joe)))
        subjects = {line for number in (1, 2) for line in connection.retr(number)[1] if line.startswith(b"Subject")}
        assert subjects == {b"Subject: one", b"Subject: two"}
        connection.dele(1)
        connection.quit()
    virtual.wait(lambda: len(virtual.messages(joe)) == 1)
    with open(f"{virtual.user_directory(joe)}/lastauth", encoding="ascii") as f:
        assert f.read() == "127.0.0.1"
    assert "authorization failed" in refused(port, joe, "wrong").decode()


def test_by_apop(virtual, domain, port):
    with virtual.options("clear-passwd yes\npasswd yes\n"):
        ann = virtual.add_user(f"a{os.urandom(4).hex()}@{domain}")
        deliver(virtual, ann, "one")
        with login(port, ann, apop=True) as connection:
            assert connection.stat()[0] == 1
        with login(port, ann):
            pass
    hashed = virtual.add_user(f"h{os.urandom(4).hex()}@{domain}")       # without a clear password there is nothing to compare
    assert "authorization failed" in refused(port, hashed, apop=True).decode()


def test_users_of_the_system_log_in_beside_them(virtual, domain, port, person):
    with login(port, person.name, person.password) as connection:
        assert connection.stat() == (0, 0)
    with virtual.options("passwd no\n"):
        assert "authorization failed" in refused(port, person.name, person.password).decode()


def test_a_closed_account(virtual, domain, port):
    joe = virtual.add_user(f"u{os.urandom(4).hex()}@{domain}")
    virtual.run("vmoduser", "-w", joe)              # from this very machine it is webmail
    assert "authorization failed" in refused(port, joe).decode()


def test_what_cannot_be_asked_is_told_as_temporary(virtual):
    """By the listener; qmail-popup has one answer for every exit code."""
    name = virtual.add_domain()
    directory = virtual.domain_directory(name)
    os.rename(directory, f"{directory}.away")
    try:
        assert "temporary" in refused(virtual.pop3, f"postmaster@{name}").decode()
    finally:
        os.rename(f"{directory}.away", directory)
    with login(virtual.pop3, f"postmaster@{name}"):
        pass


def test_the_session_belongs_to_the_owner_of_the_domain(virtual, domain, port):
    """Whoever the process of the session is, it has no more rights than he."""
    with login(port, f"postmaster@{domain}") as connection:
        mine = connection.sock.getsockname()[1]
        owner = os.stat(virtual.domain_directory(domain))

        def sessions():
            found = subprocess.run(["ss", "-Htnp", "state", "established", f"dport = :{mine}"], capture_output=True, text=True)
            return [int(word.partition(",")[0]) for word in found.stdout.split("pid=")[1:]]
        pids = virtual.wait(sessions)
        for pid in pids:
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                fields = dict(line.split(":\t", 1) for line in f if ":\t" in line)
            if fields["Name"].strip() in ("tcpserver", "qmail-popup"):
                continue
            assert fields["Uid"].split() == [str(owner.st_uid)] * 4, fields
            assert fields["Gid"].split() == [str(owner.st_gid)] * 4 and fields["Groups"].split() == [str(owner.st_gid)]


def test_failures_count_over_all_services(virtual, domain, classic, person):
    """What failed at the listener counts behind tcpserver, for vpopmaild and for checkpassword."""
    joe = virtual.add_user(f"u{os.urandom(4).hex()}@{domain}")
    path = f"{virtual.home}/control/loginfailures"
    virtual.put(path, "2\n")

    def checkpassword(secret):
        done = subprocess.run(["sh", "-c", 'exec "$0" true 3<&0 </dev/null', f"{virtual.home}/bin/checkpassword"],
                              input=f"{person.name}\0{secret}\0\0".encode(), timeout=60)
        return done.returncode

    def vpopmaild(secret):
        """As vpopmail itself, not root."""
        done = subprocess.run(["setpriv", "--reuid=vpopmail", "--regid=vchkpw", "--clear-groups", f"{virtual.home}/bin/vpopmaild"],
                              input=f"slogin {joe} {secret}\r\nquit\r\n".encode(), capture_output=True, timeout=60)
        return done.stdout.split(b"\r\n")[1][:4]
    try:
        with virtual.options("passwd no\n"):           # PAM takes two seconds for each refusal
            assert virtual.command("vverifypw", joe, "wrong").returncode == 1 and vpopmaild("wrong") == b"-ERR"
            for failed in (refused(virtual.pop3, joe), refused(classic, joe)):
                assert b"authorization failed" in failed
            assert vpopmaild(PASSWORD) == b"-ERR" and virtual.command("vverifypw", joe, PASSWORD).returncode == 1
        assert checkpassword("wrong") == 1
        refused(classic, person.name, "wrong")
        assert checkpassword(person.password) == 1
        virtual.put(path, "100\n")
        assert vpopmaild(PASSWORD) == b"+OK " and checkpassword(person.password) == 0
    finally:
        os.unlink(path)
    with login(virtual.pop3, joe):
        pass
