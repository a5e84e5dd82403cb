"""The authenticator: logins in, sessions out, limits and failures."""
import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import tempfile

import pytest

from pyqmail.auth import accounts, checkpassword
from pyqmail.base import home
from pyqmail.base.errors import Temporary
from pyqmail.pop3 import authenticator, handover

ME = pwd.getpwuid(os.getuid() or pwd.getpwnam("nobody").pw_uid)
DEFAULT = [b"checkpassword", b"qmail-pop3d", b"Maildir"]


@pytest.fixture
def mailbox():
    """A home with a Maildir, whatever uid the tests run with."""
    path = tempfile.mkdtemp()
    for part in ("", "/Maildir", "/Maildir/new", "/Maildir/cur", "/Maildir/tmp"):
        os.makedirs(path + part, exist_ok=True)
        os.chown(path + part, ME.pw_uid, ME.pw_gid)
    with open(f"{path}/Maildir/cur/1.a:2,", "w") as f:
        f.write("Subject: x\n\nhello\n")
    os.utime(f"{path}/Maildir/cur/1.a:2,", (1, 1))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def passwords(monkeypatch, mailbox):
    def authenticate(name, password):
        if name == b"later":
            raise Temporary("no answer")
        if name == b"hangs":
            os.kill(os.getpid(), signal.SIGALRM)
        fits = name == b"joe" and password == b"secret"
        return accounts.Account(b"joe", ME.pw_uid, ME.pw_gid, os.fsencode(mailbox), b"/bin/sh") if fits else None
    monkeypatch.setattr(accounts, "authenticate", authenticate)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid])
    monkeypatch.setattr(home, "ours", lambda name: True)


@contextlib.contextmanager
def running(log, **changes):
    """An authenticator in a process of its own; gives login(name, secret), which returns the client's side."""
    sending, receiving = handover.pair()
    arguments = {"checker": DEFAULT, "total": 5, "per_ip": 3, "delay": 0, **changes}
    pid = os.fork()
    if not pid:
        try:
            sending.close()
            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(fd, 2)
            os._exit(authenticator.Authenticator(receiving, **arguments).run(os.getpid()))
        finally:
            os._exit(99)
    receiving.close()
    listener = socket.create_server(("127.0.0.1", 0))
    clients = []

    def login(name, secret, stamp=b"<1.2@h>"):
        client = socket.create_connection(listener.getsockname(), timeout=60)
        served, _ = listener.accept()
        with served:
            handover.send(sending, served, checkpassword.encode(name, secret, stamp))
        clients.append(client)
        return client.makefile("rwb", buffering=0)
    login.sending = sending
    try:
        yield login
    finally:
        for client in clients:
            client.close()
        listener.close()
        sending.close()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 111      # the workers ended by themselves


def read(log):
    with open(log) as f:
        return f.read()


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "log")


def test_a_session_as_the_user(passwords, log):
    with running(log, verbose=True) as login:
        client = login(b"joe", b"secret")
        assert client.readline() == b"+OK \r\n"
        client.write(b"STAT\r\n")
        assert client.readline() == b"+OK 1 18\r\n"
        client.write(b"QUIT\r\n")
        assert client.readline() == b"+OK \r\n"
        assert client.readline() == b""
    assert read(log) == 'qmail-popup: login: "joe" from 127.0.0.1\n'


@pytest.mark.parametrize("name, secret, reply, line", [
    (b"joe", b"wrong", b"-ERR authorization failed\r\n", 'qmail-popup: login failed: "joe" from 127.0.0.1\n'),
    (b'a"\n\xff\\', b"x", b"-ERR authorization failed\r\n",
     'qmail-popup: login failed: "a\\042\\012\\377\\134" from 127.0.0.1\n'),
    (b"joe", b"s" * 600, b"-ERR authorization failed\r\n", 'qmail-popup: login failed: "joe" from 127.0.0.1\n'),
    (b"later", b"x", b"-ERR temporary authorization failure\r\n",
     'qmail-popup: warning: login of "later" from 127.0.0.1 deferred: no answer\n'),
])
def test_refusals_take_one_line(passwords, log, name, secret, reply, line):
    with running(log) as login:
        client = login(name, secret)
        assert client.readline() == reply
        assert client.readline() == b""
    assert read(log) == line


def test_a_check_that_hangs_is_ended(passwords, log):
    with running(log) as login:
        assert login(b"hangs", b"x").readline() == b"-ERR temporary authorization failure\r\n"
        assert login(b"joe", b"secret").readline() == b"+OK \r\n"      # the authenticator lives
    assert read(log) == ('qmail-popup: warning: login of "hangs" from 127.0.0.1 deferred: '
                         "the password check took too long\n")


def test_a_long_name_is_cut_in_the_log():
    assert authenticator.quoted(b"u" * 1000) == '"' + "u" * authenticator.SHOWN + '"...'


def test_no_more_sessions_than_allowed(passwords, log):
    with running(log, total=2) as login:
        first, second = login(b"joe", b"secret"), login(b"joe", b"secret")
        assert first.readline() == second.readline() == b"+OK \r\n"
        third = login(b"joe", b"secret")
        assert third.readline() == b"-ERR too many sessions, try again later\r\n"
        assert third.readline() == b""
        first.write(b"QUIT\r\n")
        assert first.readline() == b"+OK \r\n"
    assert "too many sessions" in read(log)


def test_garbage_costs_nobody_anything(passwords, log):
    with running(log) as login:
        login.sending.send(b"rubbish")
        login.sending.send(b"")
        assert login(b"joe", b"secret").readline() == b"+OK \r\n"
    assert read(log).count("is no login") == 2


def test_a_session_holds_nothing_but_its_client(passwords, log, monkeypatch):
    """Descriptors of other clients and of the authenticator are closed before the user's uid is taken."""
    seen = []
    monkeypatch.setattr(checkpassword, "become", lambda account: seen.append(sorted(map(int, os.listdir("/proc/self/fd")))))

    def tell(client, directory):
        client.write(repr(seen[0][:-1]).encode() + b"\r\n")     # the last one is listdir's own
    monkeypatch.setattr(authenticator.serve, "transact", tell)
    with running(log) as login:
        assert login(b"joe", b"secret").readline() == b"[0, 1, 2]\r\n"


@pytest.mark.parametrize("script, reply", [
    ("exit 1", b"-ERR authorization failed\r\n"),
    ("exit 111", b"-ERR authorization failed\r\n"),
    ("kill -9 $$", b"-ERR aack, child crashed\r\n"),
    ('echo "$0 $TCPREMOTEIP ${SECRET-unset} $(tr "\\000" : <&3)"', b"prog 127.0.0.1 unset joe:secret:<1.2@h>:\n"),
])
def test_another_checker_is_executed(log, monkeypatch, script, reply):
    monkeypatch.setenv("SECRET", "of the authenticator")
    if "fd" not in script and "exit" in script or "kill" in script:
        script = "cat <&3 >/dev/null; " + script
    with running(log, checker=[b"sh", b"-c", script.encode(), b"prog"]) as login:
        assert login(b"joe", b"secret").readline() == reply
    assert bool(re.search("login failed", read(log))) == reply.startswith(b"-ERR")
