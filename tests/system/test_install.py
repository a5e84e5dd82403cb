"""The installer: again over what an administrator changed, in places where it must refuse, and as an ordinary user."""
import os
import poplib
import pwd
import re
import shutil
import smtplib
import stat
import subprocess

import pytest

from pyqmail.install import mailboxes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = [pytest.mark.root, pytest.mark.system]


def attempt(directory, *options, user=None):
    words = [f"{ROOT}/bin/qmailctl", "install", "--home", str(directory), *options]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, user=user)


def picture(directory):
    """{path: (type and mode, owner, content)} without what Python compiles."""
    found = {}
    for place, below, files in os.walk(directory):
        below[:] = [name for name in below if name not in ("__pycache__", "venv")]
        for name in (*below, *files):
            path = os.path.join(place, name)
            status = os.lstat(path)
            content = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as f:
                    content = f.read()
            found[path] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


def test_again(open_place, install):
    home = install(f"{open_place}/again/home", "--smtp", "127.0.0.1:2599", "--pop3", "127.0.0.1:2199")
    first = picture(home)
    install(home)
    assert picture(home) == first


def test_what_an_administrator_wrote_stays(open_place, install):
    home = install(f"{open_place}/kept/home")
    own = {"control/me": "mail.mine.example\n", "control/locals": "", "control/tcp.smtp": ":deny\n",
           "rc": "#!/bin/sh\nexec true\n", "users/assign": ".\n",
           "bin/qmail-remote": "#!/bin/sh\nexec /opt/other/qmail-remote \"$@\"\n"}
    for name, content in own.items():
        with open(f"{home}/{name}", "w", encoding="ascii") as f:
            f.write(content)
    with open(f"{home}/pyqmail/base/netio.py", "a", encoding="ascii") as f:
        f.write("broken(\n")
    with open(f"{home}/pyqmail/base/gone_since.py", "w", encoding="ascii") as f:
        f.write("old = 1\n")
    os.chmod(f"{home}/queue/todo", 0o777)
    done = attempt(home)
    assert done.returncode == 0
    assert "not pyqmail's and were left alone: qmail-remote" in done.stdout
    for name, content in own.items():
        with open(f"{home}/{name}", encoding="ascii") as f:
            assert f.read() == content, name
    with open(f"{home}/pyqmail/base/netio.py", encoding="ascii") as f:
        assert "broken(" not in f.read()
    assert not os.path.exists(f"{home}/pyqmail/base/gone_since.py")
    assert stat.S_IMODE(os.stat(f"{home}/queue/todo").st_mode) == 0o750
    doctor = subprocess.run([f"{home}/bin/qmailctl", "doctor"], capture_output=True, text=True)
    assert doctor.returncode == 1
    assert f"{home}/bin/qmail-remote is not pyqmail's program\n" in doctor.stdout


def test_nobody_installs_into_the_home_of_others(open_place, person):
    os.makedirs(f"{open_place}/theirs/home")
    done = attempt(f"{open_place}/theirs/home", user=person.name) if os.stat(ROOT).st_mode & 1 else None
    if done:
        assert done.returncode == 111 and not os.listdir(f"{open_place}/theirs/home")
    os.chown(f"{open_place}/theirs/home", pwd.getpwnam(person.name).pw_uid, -1)
    done = attempt(f"{open_place}/theirs/home")
    assert done.returncode == 111 and "only that user can install there" in done.stderr
    assert not os.listdir(f"{open_place}/theirs/home")


def test_a_home_that_qmails_users_could_not_reach(open_place):
    os.makedirs(f"{open_place}/closed", 0o700)
    done = attempt(f"{open_place}/closed/home")
    assert done.returncode == 111 and "is closed to other users" in done.stderr


def test_maildirs_are_made_by_their_users(open_place, person):
    """Root follows no link that a user put into his home."""
    user = pwd.getpwnam(person.name)
    shutil.rmtree(f"{person.home}/Maildir")
    assert mailboxes.wants(user)
    assert mailboxes.make_as(user.pw_uid, user.pw_gid, person.home)
    made = os.stat(f"{person.home}/Maildir/new")
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (user.pw_uid, user.pw_gid, 0o700)
    assert not mailboxes.wants(user)
    target = f"{open_place}/not-theirs"
    os.mkdir(target)
    shutil.rmtree(f"{person.home}/Maildir")
    os.rename(person.home, f"{person.home}.away")
    os.symlink(target, person.home)
    try:
        assert not mailboxes.make_as(user.pw_uid, user.pw_gid, person.home)
        assert os.listdir(target) == []
    finally:
        os.unlink(person.home)
        os.rename(f"{person.home}.away", person.home)


@pytest.fixture
def source(open_place):
    """The checkout where every user can read it."""
    place = f"{open_place}/source"
    for name in ("bin", "boot", "doc", "man", "pyqmail"):
        shutil.copytree(f"{ROOT}/{name}", f"{place}/{name}", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(f"{ROOT}/pyproject.toml", place)
    subprocess.run(["chmod", "-R", "a+rX", place], check=True)
    return place


def test_a_private_home(source, libraries, person):
    from tests.peers.ports import free_port
    smtp, pop3 = free_port(), free_port()

    def run(*words, **options):
        return subprocess.run(["runuser", "-u", person.name, "--", "env", f"HOME={person.home}", *words],
                              capture_output=True, text=True, cwd="/", **options)
    done = run(f"{source}/bin/qmailctl", "install", "--venv", libraries, "--smtp", f"127.0.0.1:{smtp}", "--pop3",
               f"127.0.0.1:{pop3}", "--start")
    home = f"{person.home}/pyqmail-home"
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "PRIVILEGE SEPARATION IS OFF" in done.stdout
        password = re.search(r"password (\S+)", done.stdout)[1]
        assert run(f"{home}/bin/qmailctl", "doctor").stdout == "all is as it should be\n"
        with smtplib.SMTP("127.0.0.1", smtp, timeout=60) as client:
            client.sendmail("s@a.example", [f"{person.name}@localhost"], "Subject: x\r\n\r\nhello\r\n")
        assert run(f"{home}/bin/sendmail", person.name, input="Subject: y\n\nhello\n").returncode == 0

        def count():
            mailbox = poplib.POP3("127.0.0.1", pop3, timeout=60)
            mailbox.user(person.name)
            mailbox.pass_(password)
            return mailbox.stat()[0] == 2
        from tests.conftest import System
        System.wait(count)
        refused = subprocess.run([f"{home}/bin/qmailctl", "start"], capture_output=True, text=True)
        assert refused.returncode == 111 and "only that user can do this" in refused.stderr
    finally:
        assert run(f"{home}/bin/qmailctl", "stop").returncode == 0
