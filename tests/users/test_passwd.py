"""Who controls an address by the system's accounts."""
import os
import pwd

import pytest
from hypothesis import given, strategies as st

from pyqmail.users import codes, passwd


def account(name, uid, home):
    return pwd.struct_passwd((name, "x", uid, uid + 1, "", str(home), "/bin/sh"))


@pytest.fixture
def accounts(tmp_path, monkeypatch):
    mine = os.getuid() or 4711
    known = {"me": account("me", mine, tmp_path), "me-list": account("me-list", mine, tmp_path),
             "gone": account("gone", 5, tmp_path / "gone"), "zero": account("zero", 0, "/"),
             "other": account("other", os.getuid() + 7, tmp_path), "alias": account("alias", 99, "/nowhere")}
    if os.getuid() == 0:
        os.chown(tmp_path, 4711, -1)

    def getpwnam(name):
        return known[name]

    def answered(name):
        if name == b"outage":
            raise codes.Undecided(codes.SYSTEM)
        return False
    monkeypatch.setattr(passwd.pwd, "getpwnam", getpwnam)
    monkeypatch.setattr(passwd, "answered", answered)
    monkeypatch.setattr(passwd.accounts, "private", lambda: None)
    return known


TABLE = [
    (b"me", b"me", b"", b""), (b"ME", b"me", b"", b""), (b"me-Ext", b"me", b"-", b"Ext"), (b"me-", b"me", b"-", b""),
    (b"me-list", b"me-list", b"", b""), (b"me-LIST-a-b", b"me-list", b"-", b"a-b"),
    (b"me-lists", b"me", b"-", b"lists"),
    (b"nobody", b"alias", b"-", b"nobody"), (b"No-Body", b"alias", b"-", b"No-Body"), (b"", b"alias", b"-", b""),
    (b"-me", b"alias", b"-", b"-me"), (b"zero", b"alias", b"-", b"zero"), (b"gone", b"alias", b"-", b"gone"),
    (b"other-x", b"alias", b"-", b"other-x"), (b"me-" + b"x" * 200, b"me", b"-", b"x" * 200),
    (b"me\xff", b"alias", b"-", b"me\xff"),
]


@pytest.mark.parametrize("local, user, dash, ext", TABLE)
def test_getpw(accounts, local, user, dash, ext):
    found = passwd.getpw(local).split(b"\0")
    assert (found[0], *found[4:]) == (user, dash, ext, b"")


def test_private_home_knows_its_owner_only(accounts, monkeypatch):
    mine = accounts["me"].pw_uid
    monkeypatch.setattr(passwd.accounts, "private", lambda: (mine, 12))
    assert passwd.getpw(b"me-x").startswith(b"me\0")
    monkeypatch.setattr(passwd.accounts, "private", lambda: (mine + 1, 12))
    assert passwd.getpw(b"me-x") == b"alias\0%d\x0012\0%b/alias\0-\0me-x\0" % (mine + 1, os.fsencode(passwd.home.HOME))


def test_an_outage_does_not_send_mail_to_alias(accounts):
    with pytest.raises(codes.Undecided) as why:
        passwd.getpw(b"outage")
    assert why.value.code == codes.SYSTEM


def test_no_alias(accounts):
    del accounts["alias"]
    with pytest.raises(codes.Undecided) as why:
        passwd.getpw(b"nobody")
    assert why.value.code == codes.NO_ALIAS


def test_the_system_itself():
    assert passwd.find(b"root").pw_uid == 0
    assert passwd.find(b"no account has such a name") is None


def test_an_error_that_passes_is_not_an_answer(monkeypatch):
    """The first look-up fails, which pwd does not tell from an account that is not there."""
    answers = iter([KeyError(), pwd.getpwnam("root")])

    def getpwnam(name):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer
    monkeypatch.setattr(passwd.pwd, "getpwnam", getpwnam)
    assert passwd.find(b"root").pw_uid == 0


def test_a_file_that_cannot_be_read_is_no_answer(monkeypatch, tmp_path):
    monkeypatch.setattr(passwd, "PASSWD", str(tmp_path))
    with pytest.raises(codes.Undecided) as why:
        passwd.find(b"no account has such a name")
    assert why.value.code == codes.SYSTEM
    monkeypatch.setattr(passwd, "PASSWD", str(tmp_path / "missing"))
    assert passwd.find(b"no account has such a name") is None


@given(st.text("a-", max_size=80).map(str.encode))
def test_candidates(local):
    expected = [(local, None)] * (len(local) < 32)
    dashes = [at for at in range(len(local)) if local[at:at + 1] == b"-" and at < 32]
    expected += [(local[:at], local[at + 1:]) for at in reversed(dashes)]
    assert list(passwd.candidates(local)) == expected
