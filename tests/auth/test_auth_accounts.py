"""Who may log in: system accounts with and without PAM, and the user of a private home."""
import os
import pwd

import pytest

from pyqmail.auth import accounts, accounts_pam, hashes, poppasswd
from pyqmail.base.errors import Temporary

GOOD = b"$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1"       # "secret"
JOE = accounts.Account(b"joe", 4242, 4242, b"/home/joe", b"/bin/false")
ROOT = accounts.Account(b"root", 0, 0, b"/root", b"/bin/sh")


def no_pam(name, password):
    raise accounts_pam.Unavailable


@pytest.fixture
def shadow_file(tmp_path):
    def write(line):
        path = tmp_path / "shadow"
        path.write_bytes(line + b"\n")
        return path
    return write


#  account  name       password     shadow line of the account                      accepted by hash
TABLE = [
    (JOE,  b"joe",    b"secret", b"joe:" + GOOD + b":19000:0:99999:7:::",         True),
    (JOE,  b"joe",    b"wrong",  b"joe:" + GOOD + b":19000:0:99999:7:::",         False),
    (JOE,  b"joe",    b"",       b"joe:" + GOOD + b":19000:0:99999:7:::",         False),
    (JOE,  b"joe",    b"secret", b"joe:!" + GOOD + b":19000:0:99999:7:::",        False),
    (JOE,  b"joe",    b"secret", b"joe:*:19000:0:99999:7:::",                     False),
    (JOE,  b"joe",    b"",       b"joe::19000:0:99999:7:::",                      False),
    (JOE,  b"joe",    b"any",    b"joe::19000:0:99999:7:::",                      False),
    (JOE,  b"joe",    b"secret", b"joe:" + GOOD + b":19000:0:99999:7::19500:",    False),
    (JOE,  b"joe",    b"secret", b"joe:" + GOOD + b":0:0:99999:7:::",             False),
    (ROOT, b"root",   b"secret", b"root:" + GOOD + b":19000:0:99999:7:::",        False),
    (None, b"nobody", b"secret", b"other:" + GOOD + b":19000:0:99999:7:::",       False),
    (None, b"",       b"secret", b"other:" + GOOD + b":19000:0:99999:7:::",       False),
]


@pytest.mark.parametrize("account, name, password, line, accepted", TABLE)
def test_by_hash(shadow_file, account, name, password, line, accepted):
    got = accounts.of_system(name, password, account, b"x" if account else b"", shadow_file=shadow_file(line),
                             verify=no_pam, today=20000)
    assert got is (account if accepted else None)


@pytest.mark.parametrize("account, name, password, line, accepted", TABLE)
def test_pam_is_not_asked_about_those_who_never_may(shadow_file, account, name, password, line, accepted):
    asked = []

    def generous(name, password):
        asked.append(name)
        return True
    got = accounts.of_system(name, password, account, b"x" if account else b"", shadow_file=shadow_file(line), verify=generous)
    barred = account in (None, ROOT) or not password or line.split(b":")[1][:1] in (b"", b"!", b"*")
    assert asked == [accounts.NOBODY if barred else name]
    assert got is (None if barred else account)


def test_pam_trouble_is_temporary(shadow_file):
    def down(name, password):
        raise Temporary("PAM: no answer")
    with pytest.raises(Temporary):
        accounts.of_system(b"joe", b"secret", JOE, b"x", shadow_file=shadow_file(TABLE[0][3]), verify=down)


def test_an_account_of_a_directory_service_is_pams_business(shadow_file):
    line = shadow_file(b"other:*:19000:0:99999:7:::")
    assert accounts.of_system(b"joe", b"secret", JOE, b"*", shadow_file=line, verify=lambda *_: True) is JOE
    assert accounts.of_system(b"joe", b"secret", JOE, b"*", shadow_file=line, verify=no_pam) is None


def test_a_hash_in_passwd_itself(shadow_file):
    line = shadow_file(b"")
    assert accounts.of_system(b"joe", b"secret", JOE, GOOD, shadow_file=line, verify=no_pam) is JOE
    assert accounts.of_system(b"joe", b"secret", JOE, b"", shadow_file=line, verify=lambda *_: True) is None


@pytest.fixture
def nobody():
    return pwd.getpwnam("nobody")


def test_private_home(tmp_path, nobody):
    file = str(tmp_path / "poppasswd")
    owner = nobody if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    name = os.fsencode(owner.pw_name)
    poppasswd.put(name, b"secret", file)
    poppasswd.put(b"root", b"secret", file)
    if os.getuid() == 0:
        os.chown(file, nobody.pw_uid, nobody.pw_gid)
    assert os.stat(file).st_mode & 0o777 == 0o600

    def ask(name, password, uid=owner.pw_uid):
        return accounts.of_private_home(name, password, uid, file=file)
    account = ask(name, b"secret")
    assert (account.name, account.uid, account.home) == (name, owner.pw_uid, os.fsencode(owner.pw_dir))
    assert ask(name, b"wrong") is None
    assert ask(name, b"") is None
    assert ask(b"root", b"secret") is None
    assert ask(b"root", b"secret", 0) is None
    poppasswd.put(name, b"other", file)
    assert ask(name, b"secret") is None and ask(name, b"other") is not None


@pytest.mark.root
def test_poppasswd_must_be_its_users(tmp_path):
    file = tmp_path / "poppasswd"
    poppasswd.put(b"joe", b"secret", str(file))
    os.chown(file, 4243, 4243)
    with pytest.raises(Temporary):
        poppasswd.find(b"joe", 4242, str(file))


def test_poppasswd_must_be_private(tmp_path):
    file = tmp_path / "poppasswd"
    file.write_bytes(b"nobody:" + hashes.make(b"secret") + b"\n")
    file.chmod(0o640)
    with pytest.raises(Temporary):
        poppasswd.find(b"nobody", os.getuid(), str(file))
    file.chmod(0o600)
    assert hashes.matches(b"secret", poppasswd.find(b"nobody", os.getuid(), str(file)))
    assert poppasswd.find(b"nobod", os.getuid(), str(file)) == b""
    assert poppasswd.find(b"nobody", os.getuid(), str(tmp_path / "absent")) == b""


@pytest.mark.parametrize("name, password", [(b"a:b", b"x"), (b"", b"x"), (b"a", b""), (b"a\n", b"x"), (b"a", b"x\0")])
def test_poppasswd_keeps_its_format(tmp_path, name, password):
    with pytest.raises(ValueError):
        poppasswd.put(name, password, str(tmp_path / "poppasswd"))


@pytest.mark.parametrize("files, service", [((), "login"), (("common-auth",), "pyqmail"), (("common-auth", "pyqmail"), "pyqmail"),
                                            (("pyqmail",), "pyqmail")])
def test_pam_service(tmp_path, files, service):
    for name in files:
        (tmp_path / name).touch()
    assert accounts_pam.service(str(tmp_path)) == service
