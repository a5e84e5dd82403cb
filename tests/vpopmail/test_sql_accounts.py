"""The account store: the same behaviour, whatever back end a domain's accounts are in."""
import os

import pytest

from pyqmail.base.errors import Permanent, Temporary
from pyqmail.programs import (vadddomain, vadduser, vdeldomain, vdeluser, vdominfo,
                              vmkpasswd, vmoduser, vpasswd, vuserinfo)
from pyqmail.vpopmail import (accounts, assign, backend, database, database_url, hashdirs, home, login, move,
                              recipient, userdir, users)
from pyqmail.vpopmail.accounts import Account
from pyqmail.vpopmail.errors import Refused
from tests.peers.accounts import GID, UID, Quiet, put, some, use

KINDS = ["cdb", "sqlite", "postgres"]


@pytest.fixture(params=KINDS)
def domain(request, site):
    """The domain, in each of the back ends, without any account yet."""
    return in_kind(request, site, request.param)


def in_kind(request, site, kind):
    if kind != "cdb":
        if kind == "sqlite":
            request.getfixturevalue("sqlite")
        else:
            use(request.getfixturevalue("postgres"))
        put(site.directory + b"/.accounts", b"sql\n")
    return site


@pytest.fixture
def store(domain):
    return accounts.store(domain)


def settable(field, value):
    return lambda account: setattr(account, field, value)


# ---------------------------------------------------------------- one behaviour

@pytest.mark.parametrize("account", [
    some(b"joe"), some(b"a"), some(b"z" * 32), some(b"joe+x.y-z'!#$&*=?^_`{|}~/"), some(b"joe", hash=b""),
    some(b"joe", clear=b"it's: \"secret\" %s"),
    some(b"joe", comment="J\u00f6e \u20ac".encode()), some(b"joe", flags=524287),
    some(b"joe", quota=b"1048576S,1000C"), some(b"joe", directory=b""),
    some(b"joe", uidfield=2), some(b"joe", hash=b"x" * 128),
    some(b"joe", clear=b"c" * 128, directory=b"/" + b"d" * 159)])
def test_what_is_put_in_comes_out(store, account):
    store.add(account)
    assert store.get(account.name) == account and store.all() == [account]
    assert store.names() == [account.name] and store.count() == 1


def test_nobody(store):
    assert store.get(b"joe") is None and store.all() == [] and store.names() == [] and store.count() == 0
    assert store.get(b"\xff") is None and store.get(b"'; DROP TABLE vpopmail; --") is None
    for what in (lambda: store.delete(b"joe"), lambda: store.put(some(b"joe")), lambda: store.change(b"joe", print)):
        with pytest.raises(Refused, match="User does not exist"):
            what()


def test_a_name_is_there_once(store):
    store.add(some(b"joe"))
    with pytest.raises(Refused, match="Username exists"):
        store.add(some(b"joe", comment=b"other"))
    assert store.get(b"joe") == some(b"joe") and store.count() == 1


def test_names_are_in_the_order_of_their_bytes(store):
    names = [b"b", b"a-b", b"ab", b"a", b"a.b", b"aa", b"a_b"]
    for name in names:
        store.add(some(name))
    assert store.names() == sorted(names) == [account.name for account in store.all()]


def test_changes(store):
    for name in (b"ann", b"joe", b"zed"):
        store.add(some(name))
    store.change(b"joe", settable("flags", 6))
    store.put(some(b"ann", comment=b"Ann", clear=b"c"))
    assert store.get(b"joe") == some(b"joe", flags=6) and store.get(b"ann") == some(b"ann", comment=b"Ann", clear=b"c")
    store.change_all(settable("quota", b"5S"))
    assert [account.quota for account in store.all()] == [b"5S"] * 3 and store.get(b"zed") == some(b"zed", quota=b"5S")
    store.delete(b"joe")
    assert store.get(b"joe") is None and store.names() == [b"ann", b"zed"]
    store.rebuild()
    assert store.names() == [b"ann", b"zed"] and store.get(b"ann").comment == b"Ann"


def test_a_change_that_fails_changes_nothing(store):
    store.add(some(b"joe"))

    def fail(account):
        account.flags = 1
        raise KeyError
    for change in (lambda: store.change(b"joe", fail), lambda: store.change_all(fail)):
        with pytest.raises(KeyError):
            change()
    assert store.get(b"joe") == some(b"joe")
    store.change(b"joe", settable("flags", 2))      # and nothing is held
    assert store.get(b"joe").flags == 2


@pytest.mark.parametrize("field,value", [("comment", b"a\nb"), ("clear", b"a\nb"), ("directory", b"\n")])
def test_what_cannot_be_kept_is_refused(store, field, value):
    with pytest.raises(Refused, match="bad character"):
        store.add(some(b"joe", **{field: value}))
    assert store.names() == []


def test_many_at_once(store):
    store.add(some(b"u5", comment=b"was there"))
    assert store.add_many([some(b"u%d" % number) for number in (3, 5, 1, 10, 3)]) == [b"u5"]
    assert store.names() == [b"u1", b"u10", b"u3", b"u5"] and store.get(b"u5").comment == b"was there"
    assert store.add_many([]) == []


def test_domains_are_apart(domain, store):
    other = assign.Domain(b"other.example", b"other.example", UID, GID,
                          os.path.dirname(domain.directory) + b"/other.example")
    os.mkdir(other.directory)
    os.chown(other.directory, UID, GID)
    if backend.of(domain) == backend.SQL:
        put(other.directory + b"/.accounts", b"sql\n")
    there = accounts.store(other)
    store.add(some(b"joe"))
    there.add(some(b"joe", comment=b"another"))
    there.change_all(settable("flags", 1))
    there.delete(b"joe")
    assert store.all() == [some(b"joe")] and there.all() == []
    if there.logins:
        there.note_login(b"joe", b"192.0.2.1", 1)
        assert store.last_login(b"joe") is None


def add_some(domain, number, each, ready, go):
    """One of the crowd: a process that adds users when all others are there. Does not return."""
    try:
        os.close(go)
        os.read(ready, 1)
        for one in range(each):
            users.add(domain, b"u%d-%d" % (number, one), hash=b"x")
        os._exit(0)
    finally:
        os._exit(1)


def test_ten_processes_adding_users_lose_none(domain, store):
    each = 12 if store.kind == backend.CDB else 5
    ready, go = os.pipe()
    crowd = []
    for number in range(10):
        child = os.fork()
        if not child:
            add_some(domain, number, each, ready, go)
        crowd.append(child)
    os.close(ready)
    os.close(go)                        # now all of them begin
    assert [os.waitpid(child, 0)[1] for child in crowd] == [0] * 10
    wanted = sorted(b"u%d-%d" % (number, one) for number in range(10) for one in range(each))
    assert store.names() == wanted and all(store.get(name) for name in wanted)
    found = store.all()
    places = [os.path.dirname(account.directory[len(domain.directory) + 1:]) for account in found]
    here = min(99, 10 * each)           # counted one after the other, whoever it was
    assert sorted(places) == [b""] * here + [b"0"] * (10 * each - here)
    assert all(os.path.isdir(account.directory + b"/Maildir/new") for account in found)


# ---------------------------------------------------------------- programs

def test_programs_work_on_any_back_end(run, domain, store):
    assert run(vadduser, "-c", "Ann Other", "ann@example.com", "secret") == (0, "")
    assert run(vadduser, "ann@example.com", "secret") == (255, "Error: User already exists\n")
    assert run(vmoduser, "-p", "ann@example.com")[0] == 0
    assert "pop access closed" in run(vuserinfo, "ann@example.com")[1]
    assert run(vmkpasswd, "example.com") == (0, "")
    assert run(vdominfo, "-t", "example.com") == (0, "1\n")
    assert run(vpasswd, "ann@example.com", "other") == (0, "")
    assert store.get(b"ann").clear == b"other" and store.get(b"ann").comment == b"Ann Other"
    found = login.check(b"ann@example.com", b"other", b"", login.IMAP)
    assert found.account.name == b"ann" and recipient.known(b"ann@example.com")
    assert not recipient.known(b"bob@example.com")
    assert "Never logged in" in run(vuserinfo, "-l", "ann@example.com")[1]
    userdir.note(domain, found.account, b"192.0.2.7")
    assert "last auth ip: 192.0.2.7" in run(vuserinfo, "-l", "ann@example.com")[1]
    assert users.last_login(domain, found.account)[1] == b"192.0.2.7"
    assert run(vdeluser, "ann@example.com")[0] == 0
    assert store.get(b"ann") is None and run(vdominfo, "-t", "example.com") == (0, "0\n")
    assert not os.path.exists(found.account.directory)


def test_users_of_a_file_are_as_if_made_one_by_one(run, domain, store, place):
    count, lines = 1000 if store.kind == backend.CDB else 250, b""
    for number in range(count):
        lines += b"u%d:pw%d\n" % (number, number)
    one_by_one = hashdirs_alone(place, count)
    put(place + "/list", b"# who\n" + lines + b"u1:again\nx y:bad\nann\tp:w\tAnn Other\t5M\n")
    assert run(vadduser, "-F", place + "/list", "example.com")[1] == f"{count + 1} users added\n"
    found = {account.name: account for account in store.all()}
    assert len(found) == count + 1
    places = [os.path.dirname(found[b"u%d" % number].directory[len(domain.directory) + 1:]) for number in range(count)]
    assert places == one_by_one
    assert all(os.path.isdir(account.directory + b"/Maildir/cur") for account in found.values())
    ann = found[b"ann"]
    assert (ann.clear, ann.comment, ann.quota) == (b"p:w", b"Ann Other", b"5242880S")
    assert os.path.exists(ann.directory + b"/Maildir/maildirsize")
    assert login.check(b"u77@example.com", b"pw77", b"", login.IMAP).account.name == b"u77"
    assert run(vdominfo, "-t", "example.com") == (0, f"{count + 1}\n")
    assert run(vadduser, "-F", place + "/list", "example.com")[1] == "0 users added\n"      # nothing twice
    assert store.count() == count + 1


def hashdirs_alone(place, count):
    """The directories that so many users get, one after the other."""
    class Memory:
        found = 0, b""

        def read(self):
            return self.found

        def write(self, *found):
            self.found = found
    os.mkdir(place + "/alone")
    table, here = Memory(), os.getcwd()
    os.chdir(place + "/alone")
    try:
        return [hashdirs.add(table) for _ in range(count)]
    finally:
        os.chdir(here)


def test_a_hash_in_a_file_is_taken_as_it_is(run, store, place):
    put(place + "/list", b"joe:$1$abcdefgh$x\nann:\n")
    assert run(vadduser, "-E", "-q", "1M", "-F", place + "/list", "example.com") == (0, "2 users added\n")
    assert store.get(b"joe").hash == b"$1$abcdefgh$x" and store.get(b"joe").quota == b"1048576S"
    assert store.get(b"ann").hash == store.get(b"joe").clear == b""


def test_a_domain_comes_and_goes_in_sql(run, site, sqlite):
    put(home.path(b"options"), b"password-hash md5\naccount-store sql\n")
    home._known.pop("options", None)
    with database.transaction() as connection:
        connection.execute(database.ACCOUNTS.insert(),
                           {"pw_name": "mallory", "pw_domain": "new.example", "pw_passwd": "x"})
    assert run(vadddomain, "new.example", "secret") == (0, "")
    new = assign.find(b"new.example")
    store = accounts.store(new)
    assert store.kind == backend.SQL and store.names() == [b"postmaster"]       # nobody of an earlier domain
    assert not os.path.exists(new.directory + b"/vpasswd")
    assert accounts.store(site).kind == backend.SQL         # no mark, no vpasswd: as the options say
    assert run(vdeldomain, "new.example") == (0, "")
    assert store.names() == [] and store.last_login(b"postmaster") is None and store.directories.read() == (0, b"")


def test_the_domain_of_another_uid_stays_in_its_files(run, site, sqlite):
    put(home.path(b"options"), b"account-store sql\n")
    home._known.pop("options", None)
    home.use(home.vpophome(), UID + 1, GID)
    assert accounts.store(site).kind == backend.CDB
    with pytest.raises(Permanent, match="only vpopmail's own"):
        move.move(site, backend.SQL, None)


# ---------------------------------------------------------------- vpopmail's tables

def test_the_tables_are_those_that_vpopmail_knows(site, sqlite):
    import sqlite3
    put(site.directory + b"/.accounts", b"sql\n")
    users.add(site, b"joe", b"secret", quota=b"5S")
    store = accounts.store(site)
    store.note_login(b"joe", b"192.0.2.7", 77)
    connection = sqlite3.connect(home.path(b"db", b"accounts"))
    row = connection.execute("select pw_name, pw_domain, pw_uid, pw_gid, pw_gecos, pw_dir, pw_shell, pw_clear_passwd "
                             "from vpopmail").fetchall()
    assert row == [("joe", "example.com", 1, 0, "joe", os.fsdecode(site.directory) + "/joe", "5S", "secret")]
    assert connection.execute("select userid, domain, remote_ip, timestamp from lastauth").fetchall() == [
        ("joe", "example.com", "192.0.2.7", 77)]
    assert connection.execute("select domain, cur_users, level_cur, level_max, level_start0, level_end0, level_mod2, "
                              "level_index0, the_dir from dir_control").fetchall() == [
        ("example.com", 1, 0, 3, 0, 61, 4, 0, "")]
    connection.execute("insert into vpopmail (pw_name, pw_domain, pw_passwd) values ('c', 'example.com', 'h')")
    connection.commit()
    assert store.get(b"c") == Account(b"c", b"h", 0, 0, quota=b"")      # what others left out
    connection.close()


# ---------------------------------------------------------------- etc/vpopmail.sql

@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o641])
def test_a_password_that_others_can_read_is_refused(site, sqlite, mode):
    put(site.directory + b"/.accounts", b"sql\n")
    os.chmod(database_url.path(), mode)
    with pytest.raises(Temporary, match="chmod 640|access denied"):
        accounts.store(site).get(b"joe")


@pytest.mark.root
def test_a_file_of_somebody_else_is_refused(site, sqlite):
    put(site.directory + b"/.accounts", b"sql\n")
    os.chown(database_url.path(), UID + 1, 0)
    with pytest.raises(Temporary, match="must belong to|access denied"):
        accounts.store(site).get(b"joe")


@pytest.mark.parametrize("text,word", [
    (b"", "no URL"), (b"# only\n", "no URL"), (b"mysql://u:p@h/d\n", "neither"), (b"sqlite:///relative\n", "neither"),
    (b"sqlite://\n", "neither"), (b"no url\n", "SQL"), (b"sqlite:////nowhere/at/all\n", "unable to open")])
def test_what_is_no_database_is_temporary(site, text, word):
    database_url.write("x")
    put(database_url.path(), text)
    put(site.directory + b"/.accounts", b"sql\n")
    with pytest.raises(Temporary, match=word):
        accounts.store(site).get(b"joe")


def test_without_the_file_it_is_temporary(site):
    put(site.directory + b"/.accounts", b"sql\n")
    with pytest.raises(Temporary, match="vpopmail.sql"):
        accounts.store(site).get(b"joe")


@pytest.mark.parametrize("line,url", [
    (b"db.example|5432|vpop|pa:ss@/|mail", "postgresql://vpop:pa%3Ass%40%2F@db.example:5432/mail"),
    (b"localhost|0||x|", None), (b"a|b", None)])
def test_vpopmails_own_file_is_read(site, line, url):
    put(database_url.path(database_url.OLD), b"# host|port|user|password|database\n\n" + line + b"\n")
    os.chmod(database_url.path(database_url.OLD), 0o640)
    os.chown(database_url.path(database_url.OLD), UID, GID)
    if url:
        assert database.url() == url
    elif line == b"a|b":
        with pytest.raises(Temporary):
            database.url()
    else:
        assert database.url() == "postgresql://postgres:x@localhost:0/vpopmail"


def test_another_url_is_used_at_once(site, sqlite):
    put(site.directory + b"/.accounts", b"sql\n")
    store = accounts.store(site)
    store.add(some(b"joe"))
    database_url.write(f"sqlite:///{os.fsdecode(home.path(b'db'))}/other")
    with pytest.raises(Temporary):
        store.get(b"joe")               # not made: a file that is missing is not an empty one
    database.prepare()
    assert store.get(b"joe") is None


def test_a_forked_process_makes_its_own_connection(domain, store):
    store.add(some(b"joe"))
    assert store.get(b"joe")
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            os._exit(0 if all(store.get(b"joe") for _ in range(50)) else 1)
        children.append(child)
    assert all(store.get(b"joe") for _ in range(50))
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
    assert store.get(b"joe")


# ---------------------------------------------------------------- a mark that is none

@pytest.mark.parametrize("text", [b"", b"mysql\n", b"\0" * 20])
def test_a_mark_that_says_nothing_is_temporary(site, text):
    put(site.directory + b"/.accounts", text)
    with pytest.raises(Temporary, match="neither cdb nor sql"):
        accounts.store(site)


def test_who_opened_the_store_before_it_moved_changes_nothing(site, sqlite):
    before = accounts.store(site)
    before.add(some(b"joe"))
    move.move(site, backend.SQL, Quiet)
    for change in (lambda: before.add(some(b"ann")), lambda: before.change(b"joe", print),
                   lambda: before.delete(b"joe"),
                   lambda: before.add_many([some(b"ann")])):
        with pytest.raises(Temporary, match="being moved"):
            change()
    assert accounts.store(site).names() == [b"joe"]


def test_a_change_in_sqlite_outlives_a_power_cut(sqlite):
    """EXTRA: the journal's removal, which is what makes a change hold, is on the disk as well."""
    with database.transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3
