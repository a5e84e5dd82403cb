"""Failed logins of system accounts are counted, by whoever may write the table; nobody waits for it for long."""
import fcntl
import grp
import os

import pytest

from pyqmail.auth import accounts, failures, hashes
from pyqmail.base import child, home

JOE = accounts.Account(b"joe", 4242, 4242, b"/home/joe", b"/bin/false")
GOOD = b"$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1"       # "secret"
IP = b"192.0.2.7"
NOBODY = 65534


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A QMAILHOME that allows two failures, and one account, joe, whose password is "secret"."""
    for name in ("run", "control"):
        os.mkdir(tmp_path / name)
    (tmp_path / "control/loginfailures").write_text("2\n")
    (tmp_path / "shadow").write_bytes(b"joe:" + GOOD + b":19000:0:99999:7:::\n")
    os.chmod(tmp_path, 0o755)
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    of_system = accounts.of_system
    monkeypatch.setattr(accounts, "of_system", lambda *words: of_system(*words, shadow_file=tmp_path / "shadow",
                                                                        verify=no_pam))
    monkeypatch.setattr(accounts, "authenticate", lambda name, password: accounts.of_system(
        name, password, JOE if name == b"joe" else None, b"x"))
    monkeypatch.setattr(accounts.accounts, "private", lambda: None)
    return tmp_path


def no_pam(name, password):
    raise accounts.accounts_pam.Unavailable


def attempt(name, password, ip=b""):
    try:
        return accounts.login(name, password, ip) is not None
    except failures.TooMany:
        return "too many"


def test_by_user_from_wherever(place):
    assert [attempt(b"joe", b"bad", b"192.0.2.%d" % last) for last in (1, 2, 3)] == [False, False, "too many"]
    assert attempt(b"joe", b"secret", IP) == "too many"
    assert attempt(b"ann", b"bad", IP) is False


def test_by_address_whoever_it_is(place):
    assert [attempt(name, b"bad", IP) for name in (b"ann", b"bob", b"cal")] == [False, False, "too many"]
    assert attempt(b"joe", b"secret", IP) == "too many" and attempt(b"joe", b"secret", b"192.0.2.8") is True


@pytest.mark.parametrize("ip", [b"::\0", b":\xff", b"fe80::1%eth0"])
def test_what_is_no_address_is_counted_as_it_is(place, ip):
    assert [attempt(name, b"bad", ip) for name in (b"ann", b"bob", b"cal")] == [False, False, "too many"]


def test_a_good_login_counts_for_nothing(place):
    assert [attempt(b"joe", b"secret", IP) for _ in range(4)] == [True] * 4
    assert not os.path.exists(failures.path())


def test_without_a_limit(place):
    (place / "control/loginfailures").write_text("0\n")
    assert [attempt(b"joe", b"bad", IP) for _ in range(4)] == [False] * 4


def test_every_failure_computes_one_hash(place, monkeypatch):
    """A wrong password, a name that nobody has, an empty or locked account, and one that is not checked any more."""
    computed, compute = [], hashes.crypt
    monkeypatch.setattr(hashes, "crypt", lambda password, setting: computed.append(setting[:3]) or compute(password, setting))
    for name, password in ((b"joe", b"bad"), (b"nobody", b"bad"), (b"joe", b""), (b"joe", b"secret")):
        before = len(computed)
        attempt(name, password, IP)
        assert computed[before:] == [b"$1$"], name


@pytest.mark.parametrize("name, known", [(b"joe", True), (b"nobody", False)])
def test_where_pam_computes_for_a_known_name_we_do_for_an_unknown_one(place, monkeypatch, name, known):
    computed, asked = [], []
    monkeypatch.undo()
    monkeypatch.setattr(hashes, "crypt", lambda password, setting: computed.append(setting))

    def verify(name, password):
        asked.append(name)
        return False
    account = JOE if known else None
    assert accounts.of_system(name, b"bad", account, b"x", shadow_file=place / "shadow", verify=verify) is None
    assert (asked, len(computed)) == (([name], 0) if known else ([accounts.NOBODY], 1))


def test_whoever_holds_a_lock_for_ever_stops_nobody(place, monkeypatch):
    monkeypatch.setattr(failures, "PAUSE", 0)
    failures.note(b"joe", b"")
    started, going = os.pipe(), os.pipe()

    def holder():
        fd = os.open(failures.path(), os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX)
        os.write(started[1], b"x")
        os.close(going[1])
        os.read(going[0], 1)
    pid = child.fork(holder)
    try:
        assert os.read(started[0], 1) == b"x"
        failures.note(b"joe", b"")
        assert failures.visit(b"joe", b"", 0) == [2]
    finally:
        for fd in (*started, *going):
            os.close(fd)
        child.wait(pid)


@pytest.mark.root
def test_the_group_of_those_who_check_passwords_writes_it_and_nobody_else(open_place, vpopmail_users, monkeypatch):
    monkeypatch.setattr(home, "HOME", f"{open_place}/failures")
    os.makedirs(f"{open_place}/failures/run")
    failures.note(b"joe", b"", 9)
    status = os.stat(failures.path())
    group = grp.getgrnam(failures.CHECKERS).gr_gid
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, group, 0o660)

    def count(gid):
        os.setgroups([])
        os.setgid(gid)
        os.setuid(NOBODY)
        failures.note(b"joe", b"", 9)
    for gid in (group, NOBODY):
        assert child.wait(child.fork(lambda: count(gid))) == 0
    assert failures.visit(b"joe", b"", 0) == [2]
