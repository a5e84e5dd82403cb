"""Trees of Courier IMAP in other places: as old instructions have them, and where something is in the way.

There is one socket for all trees of a machine: the one of the other tests stands aside meanwhile.
"""
import contextlib
import os
import shutil
import socket
import subprocess

import pytest

from tests.peers.virtual import PASSWORD

from .conftest import RUN, SOCKET, Courier

pytestmark = [pytest.mark.system, pytest.mark.root]


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def another_authdaemond():
    with socket.socket(socket.AF_UNIX) as sock:
        os.makedirs(os.path.dirname(SOCKET))
        sock.bind(SOCKET)
        sock.listen()
        yield


@pytest.fixture(scope="module")
def aside(virtual, package, run_courier):
    """The usual tree, if it has been set up, is stopped and out of the way; and so is the user authdaemon, later."""
    from pyqmail.install import users
    link, usual = f"{virtual.home}/courier-imap", Courier(virtual, package)
    there, had_user = os.path.lexists(link), users.user_exists("authdaemon")
    if there:
        usual.ctl("stop")
        os.rename(link, f"{link}.kept")
    yield
    if there:
        os.rename(f"{link}.kept", link)
        assert usual.ctl("start")[0] == 0
    elif not had_user:
        subprocess.run(["userdel", "authdaemon"], capture_output=True)


@pytest.fixture
def elsewhere(aside, virtual, package, open_place):
    """Where a tree is to be made: `prefix`."""
    found = Courier(virtual, package)
    found.prefix = f"{open_place}/usr{os.urandom(4).hex()}/courier-imap"
    os.makedirs(os.path.dirname(found.prefix))
    yield found
    if os.path.islink(found.tree):
        os.unlink(found.tree)
    shutil.rmtree(f"{RUN}/authdaemon", ignore_errors=True)


def test_another_place_and_debians_own_in_the_way(elsewhere):
    with another_authdaemond():
        status, output = elsewhere.set_up("--prefix", elsewhere.prefix)
    assert status == 111 and "another authdaemond serves" in output and "systemctl disable --now" in output
    assert not os.path.exists(elsewhere.prefix)
    status, output = elsewhere.set_up("--prefix", elsewhere.prefix)
    assert status == 0, output
    assert os.readlink(elsewhere.tree) == elsewhere.prefix
    with open(f"{elsewhere.prefix}/etc/imapd", encoding="utf-8") as f:
        text = f.read()
    assert f"PORT={elsewhere.imap}\n" in text and "ADDRESS=127.0.0.1\n" in text and elsewhere.prefix in text
    assert "@" not in text.replace('"@example.com"', "")


# Settings as people had them in 2001: other places, modules by name, variables of the build.
OLD_IMAPD = """\
ADDRESS=127.0.0.1
PORT={port}
MAXDAEMONS=40
MAXPERIP=4
PIDFILE={run}/old-imapd.pid
TCPDOPTS="-nodnslookup -noidentlookup"
AUTHMODULES="authvchkpw"
IMAP_CAPABILITY="IMAP4rev1 CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT"
IMAP_IDLE_TIMEOUT=60
IMAP_DISABLETHREADSORT=0
IMAP_CHECK_ALL_FOLDERS=0
IMAP_UMASK=022
IMAP_ULIMITD=65536
IMAP_USELOCKS=0
IMAP_EMPTYTRASH=Trash:7
IMAP_MOVE_EXPUNGE_TO_TRASH=0
IMAPDSTART=YES
"""
OLD_SSL = """\
SSLPORT={port}
SSLADDRESS=127.0.0.1
SSLPIDFILE={run}/old-imapd-ssl.pid
IMAPDSSLSTART=YES
IMAPDSTARTTLS=YES
IMAP_TLS_REQUIRED=0
COURIERTLS=${{exec_prefix}}/bin/couriertls
TLS_PROTOCOL=SSL3
TLS_STARTTLS_PROTOCOL=TLS1
TLS_CERTFILE=${{exec_prefix}}/share/imapd.pem
TLS_VERIFYPEER=NONE
"""
OLD_RC = 'authmodulelist="authcustom authcram authuserdb authpam authvchkpw"\nversion="authdaemond.plain"\ndaemons=5\n'


def test_settings_of_2001(elsewhere, virtual):
    name = virtual.add_domain()
    os.makedirs(f"{elsewhere.prefix}/etc")
    for file, text, port in (("imapd", OLD_IMAPD, elsewhere.imap), ("imapd-ssl", OLD_SSL, elsewhere.imaps),
                             ("authdaemonrc", OLD_RC, 0)):
        with open(f"{elsewhere.prefix}/etc/{file}", "w", encoding="ascii") as f:
            f.write(text.format(port=port, run=RUN) if port else text)
    status, output = elsewhere.set_up("--prefix", elsewhere.prefix)
    assert status == 0, output
    try:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", elsewhere.imap))
            sock.listen()
            status, output = run(f"{elsewhere.prefix}/libexec/imapd.rc", "start")
            assert status == 1 and "is the port in use?" in output
        for script in ("imapd", "imapd-ssl"):
            assert run(f"{elsewhere.prefix}/libexec/{script}.rc", "start") == (0, "")
        for client in (elsewhere.connect(), elsewhere.connect_tls()):
            client.login(f"postmaster@{name}", PASSWORD)
            assert client.select()[0] == "OK"
            client.logout()
    finally:
        for script in ("imapd", "imapd-ssl"):
            run(f"{elsewhere.prefix}/libexec/{script}.rc", "stop")
        virtual.remove(name)


def test_a_place_that_users_cannot_reach(elsewhere):
    os.chmod(os.path.dirname(elsewhere.prefix), 0o700)
    status, output = elsewhere.set_up("--prefix", elsewhere.prefix)
    assert status == 111 and "mail users cannot enter" in output
