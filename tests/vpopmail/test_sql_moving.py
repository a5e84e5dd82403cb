"""vconvert moves a domain's accounts between the back ends: all of them, whatever happens on the way."""
import os
import random
import signal

import pytest

from pyqmail.base.errors import Permanent, Temporary
from pyqmail.programs import vconvert
from pyqmail.vpopmail import accounts, backend, hashdirs, home, move, progress, sql, userdir
from pyqmail.vpopmail.place import Inside
from tests.peers.accounts import Quiet, put, some, use
from tests.peers.killing import killed_at

WAYS = [(backend.CDB, backend.SQL), (backend.SQL, backend.CDB)]


def fill(domain, number):
    """Accounts of many kinds, two of them with a directory and a login."""
    store, rest = accounts.store(domain), random.Random(number)
    found = [some(b"user%d" % one, flags=rest.randrange(1 << 19), clear=b"c:%d" % one if one % 3 else b"",
                  comment="\u00fc".encode() * (one % 2), quota=rest.choice([b"NOQUOTA", b"5S", b"5S,3C"]),
                  directory=b"%b/user%d" % (domain.directory, one)) for one in range(number)]
    store.add_many(found)
    with Inside(domain):
        store.directories.write(number, hashdirs.NAMES[number // 100:number // 100 + 1])
        for account in found[:2]:
            os.mkdir(account.name)
    for account in found[:2]:
        userdir.note(domain, account, b"192.0.2.1")
    return {account.name: account for account in found}


def state(domain):
    store = accounts.store(domain)
    with Inside(domain):
        return ({account.name: account for account in store.all()}, hashdirs.read(store.directories),
                [userdir.last(domain, some(name, directory=b"%b/%b" % (domain.directory, name)))
                 for name in (b"user0", b"user1", b"user2")])


def begin(domain, kind):
    if kind == backend.SQL:
        put(domain.directory + b"/.accounts", b"sql\n")


def leftover(domain, kind):
    """What is in a back end that the domain is not in."""
    return accounts.in_backend(domain, kind).all() if kind == backend.SQL else [
        name for name in backend.FILES if os.path.exists(domain.directory + b"/" + name)]


@pytest.mark.parametrize("kind,target", WAYS)
@pytest.mark.parametrize("server", ["sqlite", "postgres"])
def test_everything_moves(request, run, site, kind, target, server):
    request.getfixturevalue("sqlite") if server == "sqlite" else use(request.getfixturevalue("postgres"))
    begin(site, kind)
    wanted = fill(site, 2500)
    before = state(site)
    assert before[0] == wanted and before[2][0] and not before[2][2]
    letters = ("-c", "-m") if target == backend.SQL else ("-m", "-c")
    assert run(vconvert, *letters, "example.com") == (0, "converting example.com done\n")
    assert backend.of(site) == target and state(site) == before
    assert accounts.store(site).get(b"user7") == wanted[b"user7"] and leftover(site, kind) == []
    assert run(vconvert, *letters, "example.com") == (0, "converting example.com done\n")     # it is there already
    assert state(site) == before
    assert run(vconvert, *reversed(letters), "example.com")[0] == 0
    assert backend.of(site) == kind and state(site) == before and leftover(site, target) == []


def test_there_and_back_vpasswd_is_the_same(run, site, sqlite):
    fill(site, 300)
    with open(site.directory + b"/vpasswd", "rb") as f:
        before = f.read()
    run(vconvert, "-c", "-m", "example.com")
    run(vconvert, "-m", "-c", "example.com")
    with open(site.directory + b"/vpasswd", "rb") as f:
        assert f.read() == before


@pytest.mark.parametrize("kind,target", WAYS)
def test_what_changes_meanwhile_is_not_lost(site, sqlite, kind, target):
    begin(site, kind)
    fill(site, 50)
    store = accounts.store(site)

    class Busy(Quiet):
        def __exit__(self, *problem):               # the copy is made, the lock is not taken yet
            store.add(some(b"new"))
            store.delete(b"user3")
            store.change(b"user4", lambda account: setattr(account, "comment", b"changed"))
    move.move(site, target, Busy)
    found = accounts.store(site)
    assert found.kind == target and found.get(b"new") and found.get(b"user3") is None
    assert found.get(b"user4").comment == b"changed" and found.count() == 50


@pytest.mark.parametrize("kind,target", WAYS)
def test_stores_that_differ_stay_as_they_are(monkeypatch, site, sqlite, kind, target):
    begin(site, kind)
    wanted = fill(site, 5)
    new = type(accounts.in_backend(site, target))
    replace_all = new.replace_all
    monkeypatch.setattr(new, "replace_all", lambda self, found: replace_all(
        self, [account for account in found if account.name != b"user3"]))
    if target == backend.SQL:
        monkeypatch.setattr(new, "prefill", lambda self, wanted, tell: None)
    with pytest.raises(move.Different, match="1 accounts differ: user3"):
        move.move(site, target, Quiet)
    monkeypatch.undo()
    assert backend.of(site) == kind and {account.name: account for account in accounts.store(site).all()} == wanted


@pytest.mark.parametrize("account", [some(b"joe", comment=b"\xff"), some(b"j" * 33), some(b"joe", quota=b"x" * 21)])
def test_what_sql_cannot_hold_stays(site, sqlite, account):
    accounts.store(site).add(account)
    with pytest.raises(Permanent, match="cannot be moved as they are: j"):
        move.move(site, backend.SQL, Quiet)
    assert accounts.store(site).all() == [account]


def test_what_vpasswd_cannot_hold_stays(site, sqlite):
    begin(site, backend.SQL)
    accounts.store(site).add(some(b"joe", hash=b"a:b"))
    with pytest.raises(Permanent, match="cannot be moved as they are: joe"):
        move.move(site, backend.CDB, Quiet)
    assert backend.of(site) == backend.SQL


def test_a_move_that_cannot_be_is_told_of(run, site, sqlite):
    accounts.store(site).add(some(b"joe", comment=b"\xff"))
    assert run(vconvert, "-c", "-m") == (100, "converting example.com...    domain conversion failed\n")
    assert backend.of(site) == backend.CDB


def test_rows_of_nobody_go(site, sqlite):
    fill(site, 3)
    accounts.in_backend(site, backend.SQL).replace_all([some(b"old"), some(b"user1", comment=b"other")])
    move.move(site, backend.SQL, Quiet)
    assert accounts.store(site).names() == [b"user0", b"user1", b"user2"]


#  what changes something, or asks the database
STEPS = (os, ("rename", "unlink", "fsync", "write")), (sql, ("transaction", "fetch"))


@pytest.mark.parametrize("kind,target", WAYS)
def test_a_kill_at_any_point_loses_nothing(site, sqlite, monkeypatch, kind, target):
    """Killed before each step that changes something; then the same command does the rest."""
    begin(site, kind)
    wanted = fill(site, 50)
    monkeypatch.setattr(sql, "BATCH", 20)
    monkeypatch.setattr(move, "BATCH", 20)
    step, status = 0, None
    while status != 0:
        status = killed_at(step, lambda: move.move(site, target, Quiet), *STEPS)
        assert status in (0, signal.SIGKILL)
        assert {account.name: account for account in accounts.store(site).all()} == wanted
        assert accounts.store(site).get(b"user9") == wanted[b"user9"]
        step += 1
    assert step > 10 and backend.of(site) == target and leftover(site, kind) == []


def test_the_database_going_away_leaves_the_old_store(site, sqlite, monkeypatch):
    wanted = fill(site, 50)
    os.rename(home.path(b"db", b"accounts"), home.path(b"db", b"away"))
    with pytest.raises(Temporary, match="SQL"):
        move.move(site, backend.SQL, Quiet)
    assert {account.name: account for account in accounts.store(site).all()} == wanted
    os.rename(home.path(b"db", b"away"), home.path(b"db", b"accounts"))
    move.move(site, backend.SQL, Quiet)
    assert {account.name: account for account in accounts.store(site).all()} == wanted


# ---------------------------------------------------------------- the bar

class Clock:
    now = 100

    def __call__(self):
        self.now += 1
        return self.now


def test_a_bar_for_somebody_at_a_terminal(capfd, monkeypatch):
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    with progress.Bar(4, b"x ", Clock()) as bar:
        bar.add(1)
        bar.add(1)
    shown = capfd.readouterr().out
    assert shown.split("\r\x1b[K") == ["", "x [#######.......................] 1/4 3 s left",
                                       "x [###############...............] 2/4 2 s left", "x "]


def test_nothing_where_there_is_none(capfd):
    with progress.Bar(4, b"x ", Clock()) as bar:
        bar.add(4)
    assert capfd.readouterr().out == ""
