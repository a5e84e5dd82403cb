"""Fixtures for tests that need an installation: throw-away ones, made by the real installer.

As root they lie below /var/lib (every user must be able to get there; the replay tool cannot hide
what lies below its own /tmp) and share one set of libraries, copied from the Python that runs the
tests. What is mounted for tests, only they see: the user vpopmail, who has one home for the whole
machine, has an empty one of theirs.
"""
import os
import pwd
import shutil
import site
import subprocess
import sys
import tempfile
import time

import pytest

from pyqmail.base import limits
from tests.peers import namespaces
from tests.peers.ports import free_port
from tests.peers.virtual import Virtual

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3"
PLACE = "/var/lib" if os.geteuid() == 0 else None      # None: the usual place of temporary files
DESCRIPTORS = 4096              # some tests are both ends of hundreds of connections; many systems begin with 1024


def pytest_configure():
    limits.descriptors(DESCRIPTORS)


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        skip = pytest.mark.skip(reason="needs root")
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def same_process():
    """Programs' main() change the umask and the directory of the process they run in: not for the next test."""
    umask, directory = os.umask(0o022), os.getcwd()
    yield
    os.umask(umask)
    os.chdir(directory)


@pytest.fixture(scope="session")
def open_place():
    """A directory that every user can reach, gone after the run."""
    if PLACE:
        namespaces.enter()              # before the first process that must see what is mounted later
    place = tempfile.mkdtemp(prefix="pyqmail-test.", dir=PLACE)
    os.chmod(place, 0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def qmail_users(open_place):
    """qmail's accounts exist on this machine; made if they do not."""
    from pyqmail.install import users
    users.make_missing("/var/qmail", print)


@pytest.fixture(scope="session")
def vpopmail_users():
    """The user vpopmail and the group vchkpw exist on this machine; made if they do not, and then gone after the
    run. They have the number 89 unless somebody else has."""
    from pyqmail.install import users, virtual
    had_user, had_group = users.user_exists("vpopmail"), users.group_exists(virtual.GROUP)
    virtual.make_user(print)
    yield pwd.getpwnam("vpopmail")
    if not had_user:
        subprocess.run(["userdel", "--force", "vpopmail"], capture_output=True)
    if not had_group:
        subprocess.run(["groupdel", virtual.GROUP], capture_output=True)


@pytest.fixture(scope="session")
def vpophome(open_place, vpopmail_users):
    """VPOPHOME: where the user vpopmail lives, an empty directory of the tests; what is there otherwise is not seen
    by them. Its path."""
    place, ours = vpopmail_users.pw_dir, f"{open_place}/vpophome"
    os.mkdir(ours, 0o755)
    os.chown(ours, vpopmail_users.pw_uid, vpopmail_users.pw_gid)
    missing = not os.path.isdir(place)
    if missing:
        os.makedirs(place)
    namespaces.lay(ours, place)
    yield place
    namespaces.lift(place)
    if missing:
        os.rmdir(place)


@pytest.fixture(scope="module")
def another_vpophome(open_place, vpophome, vpopmail_users):
    """VPOPHOME for an installation of one module's own: one home cannot belong to two. Empty; its path."""
    ours = tempfile.mkdtemp(prefix="vpophome.", dir=open_place)
    os.chmod(ours, 0o755)
    os.chown(ours, vpopmail_users.pw_uid, vpopmail_users.pw_gid)
    namespaces.lay(ours, vpophome)
    yield vpophome
    namespaces.lift(vpophome)


@pytest.fixture(scope="session")
def libraries(open_place):
    """A virtual environment, as far as installations need one, that every user can read."""
    venv = os.path.join(open_place, "libraries")
    version = "python%d.%d" % sys.version_info[:2]
    for source in filter(os.path.isdir, site.getsitepackages()):
        shutil.copytree(source, f"{venv}/lib/{version}/site-packages", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("pip*", "setuptools*", "_pytest", "hypothesis", "__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", venv], check=True)
    return venv


@pytest.fixture(scope="session")
def install(libraries):
    """install(directory, *options): run the checkout's installer; returns the directory."""
    def run(directory, *options):
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        words = [PYTHON, "-ISXutf8", f"{ROOT}/bin/qmailctl", "install", "--home", directory, "--venv", libraries, *options]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return directory
    return run


@pytest.fixture(scope="session")
def conformance_home(open_place, install):
    """An installation for the replay tool, alone in its directory: the tool hides that directory in some cases."""
    return install(os.path.join(open_place, "conformance", "home"))


class System:
    """A running installation: `home`, the `smtp` and `pop3` ports on 127.0.0.1, and its log."""

    def __init__(self, home, smtp, pop3):
        self.home, self.smtp, self.pop3 = home, smtp, pop3

    def ctl(self, verb, *words):
        words = [f"{self.home}/bin/qmailctl", verb, *words]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def log(self, name="send"):
        """What the service has logged so far, without the times."""
        try:
            with open(f"{self.home}/log/{name}/current", encoding="utf-8") as f:
                return "".join(line.partition(" ")[2] for line in f)
        except FileNotFoundError:
            return ""

    def pid(self, name):
        with open(f"{self.home}/run/{name}.pid", encoding="ascii") as f:
            return int(f.read().split()[0])

    @staticmethod
    def wait(ready, seconds=60):
        """ready() as soon as it is true; fails when it does not become so."""
        end = time.monotonic() + seconds
        while not (found := ready()):
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)
        return found


@pytest.fixture(scope="session")
def system(open_place, install):
    """The whole system with its real users, on free ports; stopped afterwards."""
    smtp, pop3 = free_port(), free_port()
    home = install(f"{open_place}/system/home", "--smtp", f"127.0.0.1:{smtp}", "--pop3", f"127.0.0.1:{pop3}")
    running = System(home, smtp, pop3)
    status, output = running.ctl("start")
    try:
        assert status == 0, output + running.log()
        yield running
    finally:
        running.ctl("stop")


@pytest.fixture(scope="session")
def virtual(open_place, install, vpophome):
    """A whole system of its own for virtual domains: `home`, the `smtp` and `pop3` ports, VPOPHOME as `place`.
    Tests make domains with names of their own (add_domain) and need not remove them. Who comes from 127.0.0.1 may
    relay, others from 127.… may not."""
    smtp, pop3 = free_port(), free_port()
    home = install(f"{open_place}/virtual/home", "--smtp", f"127.0.0.1:{smtp}", "--pop3", f"127.0.0.1:{pop3}")
    with open(f"{home}/control/pop3checker", "w", encoding="ascii") as f:
        f.write("vchkpw qmail-pop3d Maildir\n")
    with open(f"{home}/control/tcp.smtp", "w", encoding="ascii") as f:
        f.write('127.0.0.1:allow,RELAYCLIENT=""\n:allow\n')
    found = Virtual(System(home, smtp, pop3), vpophome)
    for verb in ("cdb", "vpopmail"):
        status, output = found.ctl(verb)
        assert status == 0, output
    status, output = found.ctl("start")
    try:
        assert status == 0, output + found.log()
        yield found
    finally:
        found.ctl("stop")


class Person:
    """An account of its own with a Maildir: name, password, home."""

    def __init__(self, name, password):
        self.name, self.password = name, password
        subprocess.run(["useradd", "--create-home", "--skel", "/nonexistent", name], check=True, capture_output=True)
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True, capture_output=True)
        self.home = os.path.expanduser(f"~{name}")
        # not by the checkout's maildirmake: it may lie in a closed home
        subprocess.run(["runuser", "-u", name, "--", "mkdir", "--mode=700",
                        *(f"{self.home}/{part}" for part in ("Maildir", "Maildir/tmp", "Maildir/new", "Maildir/cur"))],
                       check=True)

    def messages(self):
        """The messages in the Maildir, as bytes."""
        found = []
        for part in ("new", "cur"):
            for name in sorted(os.listdir(f"{self.home}/Maildir/{part}")):
                with open(f"{self.home}/Maildir/{part}/{name}", "rb") as f:
                    found.append(f.read())
        return found

    def remove(self):
        subprocess.run(["userdel", "--remove", "--force", self.name], capture_output=True)


@pytest.fixture
def person():
    """A new user of this machine, gone after the test."""
    someone = Person(f"pyq{os.urandom(4).hex()}", f"Pw-{os.urandom(6).hex()}")
    yield someone
    someone.remove()
