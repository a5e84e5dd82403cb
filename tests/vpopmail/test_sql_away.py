"""The database goes away and comes back: meanwhile everybody waits, and nobody is told that he does not exist."""
import os
import sys

import pytest

from pyqmail.base import errors, prot
from pyqmail.base.errors import Temporary
from pyqmail.programs import vadddomain, vadduser, vchkpw, vdelivermail, vdeldomain, vrcptcheck, vuserinfo
from pyqmail.vpopmail import accounts, assign, home, login, recipient, userdir, users
from tests.peers.accounts import GID, UID, put, some, use

TRUE = "/bin/true"


@pytest.fixture
def server(site, postgres):
    """A PostgreSQL with the domain's accounts, among them joe; it runs again at the end."""
    use(postgres)
    put(site.directory + b"/.accounts", b"sql\n")
    users.add(site, b"joe", b"secret")
    yield postgres
    if not postgres.runs():
        postgres.start()


def ended(program, *words, given=b"", descriptor=0, more=None):
    """How the program ends, as a process of its own: its exit code."""
    reader, writer = os.pipe()
    os.write(writer, given)
    os.close(writer)
    child = os.fork()
    if not child:
        try:
            os.environb.update(more or {})
            os.dup2(reader, descriptor)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in {0, 1, 2} - {descriptor}:
                os.dup2(null, fd)
            if os.getuid() == 0 and program is vdelivermail:
                prot.become(UID, GID)       # as qmail-local has it
            sys.argv = [program.__name__, *words]
            sys._xoptions.pop("stdin", None)
            errors.run(program.main)
        finally:
            os._exit(99)
    os.close(reader)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def log_in(name=b"joe@example.com", password=b"secret"):
    return ended(vchkpw, TRUE, given=b"%b\0%b\0\0" % (name, password), descriptor=3,
                 more={b"TCPLOCALPORT": b"110", b"TCPREMOTEIP": b"192.0.2.1"})


def deliver(user):
    return ended(vdelivermail, "", "bounce-no-mailbox", given=b"Subject: x\n\nhello\n",
                 more={b"EXT": user, b"HOST": b"example.com"})


def asked():
    """{what: exit code} of all that asks for joe, and for nobody."""
    return {"vchkpw": log_in(), "vchkpw nobody": log_in(b"nobody@example.com"), "delivery": deliver(b"joe"),
            "delivery nobody": deliver(b"nobody"), "recipient": ended(vrcptcheck, "joe@example.com"),
            "recipient nobody": ended(vrcptcheck, "nobody@example.com"),
            "vuserinfo": ended(vuserinfo, "joe@example.com")}


WELL = {"vchkpw": 0, "vchkpw nobody": 1, "delivery": 0, "delivery nobody": 100, "recipient": 0, "recipient nobody": 1,
        "vuserinfo": 0}


def test_away_is_temporary_everywhere_and_back_is_at_once(site, server):
    store = accounts.store(site)
    assert asked() == WELL and store.get(b"joe")        # this process has a connection, too
    server.stop()
    assert asked() == dict.fromkeys(WELL, 111)
    for ask in (lambda: store.get(b"joe"), lambda: store.get(b"nobody"), store.all, store.names, store.count,
                lambda: store.add(some(b"ann")), lambda: store.add_many([some(b"ann")]), lambda: store.delete(b"joe"),
                lambda: store.change(b"joe", print), lambda: store.change_all(print), lambda: store.last_login(b"joe"),
                store.directories.read, lambda: recipient.known(b"joe@example.com"),
                lambda: login.check(b"joe@example.com", b"secret", b"", login.POP),
                lambda: users.add(site, b"ann", b"x")):
        with pytest.raises(Temporary, match="accounts in SQL"):
            ask()
    userdir.note(site, some(b"joe"), b"192.0.2.1")      # a login that cannot be noted is one nevertheless
    server.start()
    assert store.get(b"joe").name == b"joe" and store.get(b"nobody") is None    # the same process, the same pool
    assert asked() == WELL
    assert not os.path.exists(site.directory + b"/ann") and not os.path.exists(site.directory + b"/.new.ann")


def test_gone_in_the_middle_of_a_change(site, server):
    store, stop = accounts.store(site), server.stopper()

    def pull_the_plug(account):
        stop()
        account.comment = b"changed"
    with pytest.raises(Temporary):
        store.change(b"joe", pull_the_plug)
    server.start()
    assert store.get(b"joe").comment == b"joe"
    store.change(b"joe", lambda account: setattr(account, "comment", b"changed"))
    assert store.get(b"joe").comment == b"changed"


def test_a_domain_is_not_removed_while_its_accounts_cannot_be(run, site, server):
    server.stop()
    with pytest.raises(Temporary):
        run(vdeldomain, "example.com")
    assert os.path.isdir(site.directory) and assign.find(b"example.com")
    server.start()
    assert run(vdeldomain, "example.com") == (0, "")
    assert not os.path.exists(site.directory) and accounts.in_backend(site, b"sql").names() == []


def test_new_domains_wait_too(run, site, server):
    put(home.path(b"options"), b"account-store sql\n")
    home._known.pop("options", None)
    server.stop()
    with pytest.raises(Temporary):
        run(vadddomain, "new.example", "secret")
    assert assign.find(b"new.example") is None
    with pytest.raises(Temporary):
        run(vadduser, "ann@example.com", "secret")
    server.start()
    assert run(vadddomain, "new.example", "secret") == (0, "")
    assert run(vadduser, "ann@example.com", "secret") == (0, "")
    assert accounts.store(assign.find(b"new.example")).names() == [b"postmaster"]


def test_a_server_that_says_nothing_is_not_waited_for_forever(site, server, monkeypatch):
    """It accepts connections and is silent: a connection takes a bounded time to fail."""
    import socket
    from pyqmail.vpopmail import database, database_url
    monkeypatch.setitem(database.POSTGRES, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database_url.write(f"postgresql://vpopmail:x@127.0.0.1:{silent.getsockname()[1]}/x?sslmode=disable")
        with pytest.raises(Temporary, match="timeout"):
            accounts.store(site).get(b"joe")


@pytest.mark.parametrize("statement", ["DROP TABLE vpopmail", "ALTER TABLE vpopmail RENAME pw_dir TO x"])
def test_a_damaged_database_is_temporary(site, sqlite, statement):
    import sqlite3
    put(site.directory + b"/.accounts", b"sql\n")
    connection = sqlite3.connect(home.path(b"db", b"accounts"))
    connection.execute(statement)
    connection.close()
    with pytest.raises(Temporary, match="accounts in SQL"):
        accounts.store(site).get(b"joe")


@pytest.mark.parametrize("size", [0, 10, 5000])
def test_a_truncated_file_of_sqlite_is_temporary(site, sqlite, size):
    put(site.directory + b"/.accounts", b"sql\n")
    os.truncate(home.path(b"db", b"accounts"), size)
    with pytest.raises(Temporary, match="accounts in SQL"):
        accounts.store(site).get(b"joe")
