"""authdaemond as Courier's library and its tools see it: answers, who answers them, limits, settings."""
import base64
import hashlib
import hmac
import os
import pwd
import signal
import socket
import subprocess

import pytest

from tests.peers.virtual import PASSWORD

from .conftest import SOCKET

pytestmark = [pytest.mark.system, pytest.mark.root]


@pytest.fixture
def joe(virtual, domain):
    return virtual.add_user(f"a{os.urandom(4).hex()}@{domain}", "-q", "1000000S", "-c", "Joe User")


def attributes(answer):
    """{NAME: value} of a whole answer."""
    assert answer.endswith("\n.\n"), answer
    return dict(line.split("=", 1) for line in answer.split("\n")[:-2])


def described(virtual, address):
    owner, where = pwd.getpwnam("vpopmail"), virtual.user_directory(address)
    return {"UID": str(owner.pw_uid), "GID": str(owner.pw_gid), "HOME": where, "ADDRESS": address, "NAME": "Joe User",
            "MAILDIR": f"{where}/Maildir", "QUOTA": "1000000S"}


# ---------------------------------------------------------------- answers

def test_login_and_look_up(courier, virtual, joe):
    assert attributes(courier.auth(joe)) == described(virtual, joe)
    assert attributes(courier.ask(f"PRE . imap {joe}\n")) == described(virtual, joe)    # no hash, no password
    assert attributes(courier.auth(joe.upper())) == described(virtual, joe)


def test_the_name_of_an_alias_domain_is_that_user(courier, virtual, domain, joe):
    alias = virtual.new_name()
    virtual.run("vaddaliasdomain", domain, alias)
    assert attributes(courier.auth(f"{joe.partition('@')[0]}@{alias}")) == described(virtual, joe)


@pytest.mark.parametrize("name, password", [
    ("JOE", "wrong"), ("JOE", PASSWORD + "x"), ("nobody@DOMAIN", PASSWORD), ("joe@none.test", PASSWORD),
    ("root", PASSWORD), ("JOE", ""), ('j"oe@DOMAIN', PASSWORD), ("@DOMAIN", PASSWORD), ("x" * 3000 + "@DOMAIN", PASSWORD),
    ("JOE", "x" * 3000), ("../joe@DOMAIN", PASSWORD)])
def test_what_is_refused_is_refused_for_good(courier, domain, joe, name, password):
    """FAIL, not silence: that would be temporary."""
    name = name.replace("JOE", joe).replace("DOMAIN", domain)
    assert courier.auth(name, password) == "FAIL\n"


@pytest.mark.parametrize("request_", ["HELLO\n", "AUTH x\n", "PRE joe\n", "AUTH 4\nabcd", "PASSWD imap\tx\n", "\n",
                                      "AUTH 9999999999\n", "x" * 10000, "AUTH 20\nimap\nlogin\na\0b\nc\n1234"])
def test_what_is_no_request_gets_no_answer(courier, request_):
    try:
        assert courier.ask(request_) == ""
    except ConnectionResetError:
        pass                            # not all of it was read


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256"])
def test_challenges(courier, virtual, domain, clear_passwords, method):
    with clear_passwords():
        address = virtual.add_user(f"c{os.urandom(4).hex()}@{domain}")
    stamp = b"<123.456@mail.example>"

    def answer(password, challenge=stamp):
        digest = hmac.new(password.encode(), challenge, getattr(hashlib, method)).hexdigest()
        words = [base64.b64encode(word) for word in (stamp, f"{address} {digest}".encode())]
        data = b"imap\ncram-%b\n%b\n%b" % (method.encode(), *words)
        return courier.ask(b"AUTH %d\n" % len(data) + data)
    assert attributes(answer(PASSWORD))["ADDRESS"] == address
    assert answer("wrong") == answer(PASSWORD, b"<another@challenge>") == "FAIL\n"


def test_a_challenge_without_a_clear_password(courier, joe):
    data = b"imap\ncram-md5\n%b\n%b" % (base64.b64encode(b"<1@h>"), base64.b64encode(joe.encode() + b" " + b"0" * 32))
    assert courier.ask(b"AUTH %d\n" % len(data) + data) == "FAIL\n"


def test_flags_are_options(courier, virtual, joe):
    virtual.run("vmoduser", "-i", "-p", "-w", joe)
    assert attributes(courier.auth(joe))["OPTIONS"] == "disableimap=1,disablepop3=1,disablewebmail=1"


def test_a_closed_account_opens_no_relay(courier, virtual, joe):
    virtual.run("vmoduser", "-i", joe)
    courier.auth(joe, ip="198.51.100.9")
    assert "198.51.100.9" not in relay(virtual)
    courier.auth(joe, ip="198.51.100.9", service="pop3")
    assert "198.51.100.9:allow" in relay(virtual)
    virtual.run("vmoduser", "-r", joe)
    courier.auth(joe, ip="198.51.100.10", service="pop3")
    assert "198.51.100.10:" not in relay(virtual)


def relay(virtual):
    try:
        with open(f"{virtual.place}/etc/open-smtp", encoding="ascii") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def test_password_change(courier, virtual, joe):
    change = f"PASSWD imap\t{joe}\t{{}}\t{{}}\n"
    assert courier.ask(change.format("wrong", "new")) == "FAIL\n"
    assert courier.ask(change.format(PASSWORD, "")) == "FAIL\n"
    assert courier.ask(change.format(PASSWORD, "x" * 200)) == "FAIL\n"
    assert courier.ask(change.format(PASSWORD, "the new one")) == "OK\n"
    assert courier.auth(joe) == "FAIL\n" and attributes(courier.auth(joe, "the new one"))
    virtual.run("vmoduser", "-d", joe)
    assert courier.ask(change.format("the new one", "another")) == "FAIL\n"


def test_everybody(courier, virtual, domain, joe, person):
    other = virtual.add_domain("-u", person.name)
    try:
        answer = courier.ask("ENUMERATE\n")
        assert answer.startswith("# authvchkpw\n\n") and answer.endswith("\n.\n")
        users = {line.split("\t")[0]: line.split("\t") for line in answer.split("\n")[2:-2]}
        about = described(virtual, joe)
        assert users[joe] == [joe, about["UID"], about["GID"], about["HOME"], about["MAILDIR"], ""]
        assert users[f"postmaster@{other}"][1] == str(pwd.getpwnam(person.name).pw_uid)
        assert {name.partition("@")[2] for name in users} >= {domain, other}
    finally:
        virtual.remove(other)


def test_couriers_own_tools(courier, joe):
    def authtest(*words):
        return subprocess.run(["authtest", *words], capture_output=True, text=True, timeout=60)
    done = authtest(joe)
    assert done.returncode == 0 and joe in done.stdout + done.stderr
    assert authtest(joe, PASSWORD).returncode == 0 and authtest(joe, "wrong").returncode != 0
    assert authtest(f"no{joe}").returncode != 0
    assert authtest(joe, PASSWORD, "changed-9").returncode == 0
    assert authtest(joe, "changed-9").returncode == 0 and authtest(joe, PASSWORD).returncode != 0
    assert joe in subprocess.run(["authenumerate"], capture_output=True, text=True, timeout=60).stdout


def test_what_cannot_be_told_now_is_not_answered(courier, virtual):
    name = virtual.add_domain()
    where = virtual.domain_directory(name)
    os.rename(where, where + ".away")
    try:
        assert courier.auth(f"postmaster@{name}") == ""
        assert not courier.ask("ENUMERATE\n").endswith(".\n")
    finally:
        os.rename(where + ".away", where)
    assert attributes(courier.auth(f"postmaster@{name}"))
    virtual.remove(name)


def test_after_too_many_failures_nothing_is_compared(courier, virtual, joe):
    path = f"{virtual.home}/control/loginfailures"
    with open(path, "w", encoding="ascii") as f:
        f.write("3\n")
    try:
        for _ in range(3):
            assert courier.auth(joe, "wrong", ip="") == "FAIL\n"
        assert courier.auth(joe, ip="192.0.2.200") == "FAIL\n"
    finally:
        os.unlink(path)
    assert attributes(courier.auth(joe))


def test_too_many_failures_from_an_address(courier, virtual, domain, joe, person):
    """Counted for all domains, whoever owns them."""
    other = virtual.add_domain("-u", person.name)
    path = f"{virtual.home}/control/loginfailures"
    with open(path, "w", encoding="ascii") as f:
        f.write("4\n")
    try:
        for name in (f"x@{domain}", f"y@{other}", "z@none.test", f"postmaster@{other}"):
            assert courier.auth(name, "wrong", ip="203.0.113.9") == "FAIL\n"
        assert courier.auth(joe, ip="203.0.113.9") == "FAIL\n"
        assert attributes(courier.auth(joe, ip="203.0.113.10"))
    finally:
        os.unlink(path)
        virtual.remove(other)


@pytest.fixture
def system_accounts(virtual):
    """system_accounts("yes"): VPOPHOME/options lets accounts of the system log in; "no": it does not."""
    path = f"{virtual.place}/options"
    before = open(path, encoding="ascii").read() if os.path.exists(path) else None

    def let(value):
        with open(path, "w", encoding="ascii") as f:
            f.writelines(line + "\n" for line in (before or "").split("\n") if line and not line.startswith("passwd "))
            f.write(f"passwd {value}\n")
            os.fchmod(f.fileno(), 0o644)
    yield let
    if before is None:
        os.unlink(path)
    else:
        with open(path, "w", encoding="ascii") as f:
            f.write(before)


def test_accounts_of_the_system(courier, person, system_accounts):
    system_accounts("yes")
    name, password, entry = person.name, person.password, pwd.getpwnam(person.name)
    about = {"UID": str(entry.pw_uid), "GID": str(entry.pw_gid), "HOME": person.home, "ADDRESS": name,
             "MAILDIR": f"{person.home}/Maildir"}
    assert attributes(courier.auth(name, password)) == attributes(courier.ask(f"PRE . imap {name}\n")) == about
    assert courier.auth(name, "wrong") == courier.ask("PRE . imap root\n") == "FAIL\n"
    assert courier.auth(f"{name}@none.test", password) == "FAIL\n"
    assert courier.ask(f"PASSWD imap\t{name}\t{password}\tnew\n") == "FAIL\n"
    client = courier.login(name, password)
    assert client.select()[0] == "OK"
    client.logout()
    system_accounts("no")
    assert courier.auth(name, password) == courier.ask(f"PRE . imap {name}\n") == "FAIL\n"


# ---------------------------------------------------------------- who does it

def status(pid, field):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(line.split()[1:] for line in f if line.startswith(field + ":"))


def processes(courier):
    """(logger, keeper, front): pids."""
    with open(f"{courier.tree}/run/authdaemond.pid", encoding="ascii") as f:
        logger = int(f.read().split()[0])
    [keeper] = children(logger)
    return logger, keeper, next(pid for pid in children(keeper) if status(pid, "Uid")[0] != "0")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(word) for word in f.read().split()]


def test_who_is_what(courier):
    """Who reads what clients write owns nothing, and cannot get more rights."""
    _, keeper, front = processes(courier)
    role = pwd.getpwnam("authdaemon")
    assert status(front, "Uid") == [str(role.pw_uid)] * 4 and status(front, "Groups") == [str(role.pw_gid)]
    assert status(front, "NoNewPrivs") == ["1"] and status(keeper, "Uid") == ["0"] * 4
    assert not any(line.endswith(SOCKET) for line in map(os.readlink, descriptors(keeper)))


def descriptors(pid):
    return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]


def test_only_root_and_courier_can_ask(courier):
    found = os.stat(os.path.dirname(SOCKET))
    owner = pwd.getpwnam("courier")
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (owner.pw_uid, owner.pw_gid, 0o750)
    assert os.stat(SOCKET).st_mode & 0o7777 == 0o777


def test_the_owner_of_the_domain_compares(virtual, person, monkeypatch):
    """asking.py: the question is asked as him, with no group of root's."""
    from pyqmail.base import home as qmailhome
    from pyqmail.imap import asking
    from pyqmail.vpopmail import home
    name = virtual.add_domain("-u", person.name)
    monkeypatch.setattr(qmailhome, "HOME", virtual.home)
    home._known.clear()
    try:
        owner = pwd.getpwnam(person.name)
        assert owner_of(f"joe@{name}", asking) == b"%d %d [%d]" % (owner.pw_uid, owner.pw_gid, owner.pw_gid)
    finally:
        home._known.clear()
        asking.failures._held.clear()
        virtual.remove(name)


def owner_of(address, asking):
    """As whom a question about an address is asked."""
    def work():
        return [b"%d %d %b" % (os.getuid(), os.getgid(), str(os.getgroups()).encode()), b"", b"", b"", b"0", b""]
    return asking.ask(address.encode(), work).address


# ---------------------------------------------------------------- limits

def test_silent_clients_keep_nobody_waiting(courier, joe):
    waiting = []
    for _ in range(50):
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].connect(SOCKET)
        waiting[-1].send(b"AUTH 100\nimap")
    assert attributes(courier.auth(joe))
    for sock in waiting:
        sock.close()


def test_many_at_once(courier, joe):
    data = f"imap\nlogin\n{joe}\n{PASSWORD}\n".encode()
    clients = []
    for _ in range(40):
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].settimeout(60)
        clients[-1].connect(SOCKET)
        clients[-1].sendall(b"AUTH %d\n%b" % (len(data), data))
    for sock in clients:
        with sock, sock.makefile() as answer:
            assert answer.read().endswith("\n.\n")


# ---------------------------------------------------------------- starting, stopping, settings

def test_settings_are_read_again(courier, virtual, joe):
    def answer_has(text):
        return virtual.wait(lambda: attributes(courier.auth(joe)).get("OPTIONS", "") == text or None)
    courier.setting("authdaemonrc", "DEFAULTOPTIONS", '"disablewebmail=1"')
    try:
        os.kill(processes(courier)[1], signal.SIGHUP)
        answer_has("disablewebmail=1")
    finally:
        courier.setting("authdaemonrc", "DEFAULTOPTIONS", '""')
        os.kill(processes(courier)[1], signal.SIGHUP)
    answer_has("")


def test_killed_and_there_again(courier, virtual, joe):
    """The keeper; its front goes with it."""
    _, keeper, front = processes(courier)
    os.kill(keeper, signal.SIGKILL)

    def answers():
        try:
            return courier.auth(joe).endswith("\n.\n") and processes(courier)[1] != keeper
        except (OSError, ValueError, StopIteration):
            return False
    virtual.wait(answers)
    virtual.wait(lambda: not os.path.exists(f"/proc/{front}"))


def authdaemond(courier, *words):
    return subprocess.run([f"{courier.system.home}/bin/authdaemond", *words], capture_output=True, text=True,
                          timeout=60)


def test_only_one(courier, tmp_path):
    rc = f"{courier.tree}/etc/authdaemonrc"
    done = authdaemond(courier, rc)
    assert done.returncode == 111 and "another authdaemond serves there" in done.stderr
    assert authdaemond(courier, "-t", rc).returncode == 0
    (tmp_path / "rc").write_text(f"authdaemonvar={tmp_path}\n")
    assert authdaemond(courier, "-t", str(tmp_path / "rc")).returncode == 1


def test_in_the_foreground_until_sigterm(courier, virtual, tmp_path):
    """In a directory of its own, made for the group courier, with a module that is not there."""
    place, rc = tmp_path / "there", tmp_path / "rc"
    rc.write_text(f'authmodulelist="authpam authvchkpw"\nauthdaemonvar={place}\nDEBUG_LOGIN=1\n')
    with subprocess.Popen([f"{virtual.home}/bin/authdaemond", rc], stderr=subprocess.PIPE, text=True) as running:
        try:
            virtual.wait(lambda: running.poll() is not None or authdaemond(courier, "-t", str(rc)).returncode == 0)
            found = os.stat(place)
            assert (found.st_gid, found.st_mode & 0o777) == (pwd.getpwnam("courier").pw_gid, 0o750)
            assert courier.ask("PRE . imap joe@none.test\n", f"{place}/socket") == "FAIL\n"
        finally:
            running.terminate()
        said = running.stderr.read()
        assert running.wait(60) == 0
    assert said.startswith("authdaemond: warning: no module authpam here\n")
    assert "authdaemond: debug: pre imap joe@none.test : refused\n" in said
