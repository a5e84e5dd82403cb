"""vpasswd and vpasswd.cdb: killed at each system call, damaged by others. Never is somebody unknown who is not."""
import os
import random
import signal
import time

import pytest

from pyqmail.base import cdb_edit
from pyqmail.base.errors import Temporary
from pyqmail.vpopmail import accounts, vpasswd
from pyqmail.vpopmail.errors import Refused
from tests.peers.accounts import put, some
from tests.peers.killing import killed_at

CALLS = ("open", "rename", "unlink", "fsync", "write", "pwrite", "fchmod", "utime", "lseek", "copy_file_range", "close")
NAMES = [b"user%02d" % number for number in range(40)]


def settable(account):
    account.comment = b"changed"


#   what                                        names that are gone, new, changed afterwards
CHANGES = {
    "add": (lambda store: store.add(some(b"user20x")), (), (b"user20x",), ()),
    "add first": (lambda store: store.add(some(b"a0")), (), (b"a0",), ()),
    "add last": (lambda store: store.add(some(b"zz")), (), (b"zz",), ()),
    "change": (lambda store: store.change(b"user20", settable), (), (), (b"user20",)),
    "delete": (lambda store: store.delete(b"user20"), (b"user20",), (), ()),
    "delete last": (lambda store: store.delete(b"user39"), (b"user39",), (), ()),
    "add_many": (lambda store: store.add_many([some(b"x1"), some(b"user05x")]), (), (b"x1", b"user05x"), ()),
    "change_all": (lambda store: store.change_all(settable), (), (), NAMES),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("what", CHANGES)
def test_a_kill_at_any_system_call(site, monkeypatch, what, large):
    """The old accounts or the new ones, nothing between; what the next change leaves is whole."""
    if large:
        monkeypatch.setattr(vpasswd, "LARGE", 0)
    work, gone, new, changed = CHANGES[what]
    store = accounts.store(site)
    step, status = 0, None
    while status != 0:
        store.replace_all([some(name) for name in NAMES])
        before = store.all()
        status = killed_at(step, lambda: work(store), (os, CALLS))
        assert status in (0, signal.SIGKILL)
        after = store.all()
        assert after == before or {account.name for account in after} == {*NAMES, *new} - {*gone}
        assert [account.comment == b"changed" for account in after].count(True) in (0, len(changed))
        for name in NAMES:                          # found, but for the one that goes
            assert store.get(name) is not None or name in gone
        store.add(some(b"next"))                    # whatever the kill left is no hindrance
        whole = [account for account in after] + [some(b"next")]
        assert sorted(whole, key=lambda account: account.name) == store.all()
        assert all(store.get(account.name) == account for account in whole)
        assert all(store.get(name) is None for name in {*new, *gone} - {account.name for account in whole})
        step += 1
    assert step > 10


def test_what_a_kill_left_does_not_stay(site):
    store = accounts.store(site)
    store.add(some(b"joe"))
    put(site.directory + b"/.vpasswd.new", b"half")
    put(site.directory + b"/.vpasswd.cdb.new", b"half")
    store.add(some(b"ann"))
    assert sorted(name for name in os.listdir(site.directory) if b"new" in name) == []


@pytest.mark.parametrize("large", [False, True])
def test_a_new_user_of_a_large_domain_does_not_make_it_anew(site, monkeypatch, large):
    if large:
        monkeypatch.setattr(vpasswd, "LARGE", 0)
    made = []
    write = vpasswd.write_cdb
    monkeypatch.setattr(vpasswd, "write_cdb", lambda lines: made.append(1) or write(lines))
    store, rest, model = accounts.store(site), random.Random(3), {}
    store.add_many([some(name) for name in NAMES])
    model = {name: some(name) for name in NAMES}
    made.clear()
    for number in range(150):
        name = b"n%d" % rest.randrange(60)
        if name not in model:
            store.add(some(name))
            model[name] = some(name)
        elif number % 3:
            store.change(name, settable)
            model[name].comment = b"changed"
        else:
            store.delete(name)
            del model[name]
    assert bool(made) == (not large)
    assert store.all() == sorted(model.values(), key=lambda account: account.name)
    assert all(store.get(name) == model.get(name) for name in [*NAMES, *(b"n%d" % number for number in range(60))])
    store.rebuild()
    assert all(store.get(name) == account for name, account in model.items())


@pytest.mark.parametrize("text", [b"joe:x", b"\njoe:x:1:0:::\n", b"zed:x:1:0:::\nann:x:1:0:::\n"])
def test_vpasswd_as_editors_leave_it(site, monkeypatch, text):
    """No newline at the end, empty lines, out of order: nothing is lost, also where large files are spliced."""
    monkeypatch.setattr(vpasswd, "LARGE", 0)
    put(site.directory + b"/vpasswd", text)
    store = accounts.store(site)
    store.rebuild()
    before = set(store.names())
    for name in (b"mid", b"a", b"zzz"):
        store.add(some(name))
    assert set(store.names()) == before | {b"mid", b"a", b"zzz"}
    assert all(store.get(name) for name in store.names())
    store.delete(b"mid")
    store.change(sorted(before)[0], settable)
    assert set(store.names()) == before | {b"a", b"zzz"} and store.get(sorted(before)[0]).comment == b"changed"


@pytest.mark.parametrize("same", [True, False])
def test_a_power_cut_that_loses_what_went_into_the_cdb(site, monkeypatch, same):
    """The cdb's inode is on the disk with its new time, the changed block of it is not: it counts as too old. Then the
    same command is given again, or another one."""
    monkeypatch.setattr(vpasswd, "LARGE", 0)
    store = accounts.store(site)
    store.add_many([some(name) for name in NAMES])
    store.add(some(b"first"))           # its table has room from here on
    new, other = [name for name in (b"new%d" % number for number in range(2000))
                  if (cdb_edit.hash_of(name) ^ cdb_edit.hash_of(b"first")) & 255 == 0][:2]
    with monkeypatch.context() as patch:
        patch.setattr(cdb_edit.Editor, "fill", lambda editor, slot: os.utime(editor._fd))
        patch.setattr(os, "utime", lambda path, *words, utime=os.utime, **more: (
            stop() if path == b"vpasswd" else utime(path, *words, **more)))
        with pytest.raises(KeyboardInterrupt):
            store.add(some(new))
    assert new in store.names() and store.get(new) is None
    if same:
        with pytest.raises(Refused, match="exists"):
            store.add(some(new))
    else:
        store.add(some(other))
    assert store.get(new) and len(set(store.names())) == store.count()
    assert os.stat(site.directory + b"/vpasswd").st_mtime <= time.time()
    assert all(store.get(name) for name in store.names())


def stop():
    raise KeyboardInterrupt


def test_files_that_differ_are_made_anew(site, monkeypatch):
    """vpasswd and the cdb do not name the same users, whatever their times say."""
    monkeypatch.setattr(vpasswd, "LARGE", 0)
    store = accounts.store(site)
    store.add_many([some(name) for name in NAMES])
    for name, change in ((b"zlost1", lambda: store.add(some(b"zlost1"))), (b"zlost2", lambda: store.delete(b"zlost2")),
                         (b"zlost3", lambda: store.change(b"zlost3", settable))):
        with open(site.directory + b"/vpasswd", "ab") as f:
            f.write(b"%b:x:1:0:::\n" % name)
        os.utime(site.directory + b"/vpasswd.cdb")
        try:
            change()
        except Refused:
            pass
        assert (store.get(name) is None) == (name == b"zlost2") and store.names().count(name) == (name != b"zlost2")


def test_a_line_that_is_longer_than_any_of_ours(site, monkeypatch):
    monkeypatch.setattr(vpasswd, "LARGE", 0)
    long = b"%b:x:1:0::/d:NOQUOTA:%b" % (b"n" * 9000, b"p:" * 9000)
    put(site.directory + b"/vpasswd", b"a:x:1:0:::\n" + long + b"\nz:x:1:0:::\n")
    store = accounts.store(site)
    store.rebuild()
    for name in (b"b", b"n", b"nz", b"zz", b"0"):
        store.add(some(name))
    store.change(b"z", settable)
    with open(site.directory + b"/vpasswd", "rb") as f:
        lines = f.read().split(b"\n")
    assert lines.count(long) == 1 and [line.partition(b":")[0] for line in lines if line != long] == [
        b"0", b"a", b"b", b"n", b"nz", b"z", b"zz", b""]


def test_who_reads_while_others_change(site, monkeypatch):
    """Nobody who is there is unknown for a moment, and no look-up fails."""
    monkeypatch.setattr(vpasswd, "LARGE", 0)
    store = accounts.store(site)
    store.add_many([some(name) for name in NAMES])
    go, ready = os.pipe()
    children = [reading(store, go, ready) for _ in range(2)]
    try:
        os.close(go)
        for number in range(150):
            store.add(some(b"m%03d" % number))
            if number % 3 == 0:
                store.delete(b"m%03d" % number)
            if number % 5 == 0:
                store.change(NAMES[number % len(NAMES)], settable)
    finally:
        os.close(ready)                 # they end
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]


def reading(store, go, ready):
    """A process that looks users up until nobody holds `ready` open any more; its exit code says whether all went
    well."""
    child = os.fork()
    if not child:
        status = 9
        try:
            os.close(ready)
            os.set_blocking(go, False)
            waiting = True
            while waiting:
                try:
                    waiting = bool(os.read(go, 1))
                except BlockingIOError:
                    pass
                if any(store.get(name) is None for name in NAMES):
                    os._exit(1)
            status = 0
        finally:
            os._exit(status)
    return child


def damage_truncated(directory):
    size = os.stat(directory + b"/vpasswd.cdb").st_size
    os.truncate(directory + b"/vpasswd.cdb", size * 2 // 3)


def damage_zeros(directory):
    size = os.stat(directory + b"/vpasswd.cdb").st_size
    put(directory + b"/vpasswd.cdb", bytes(size))


DAMAGES = {
    "empty cdb": lambda directory: put(directory + b"/vpasswd.cdb", b""),
    "short cdb": lambda directory: os.truncate(directory + b"/vpasswd.cdb", 2048),
    "truncated cdb": damage_truncated,
    "garbage cdb": lambda directory: put(directory + b"/vpasswd.cdb", random.Random(5).randbytes(9000)),
    "zeros in cdb": damage_zeros,
    "a directory": lambda directory: (os.unlink(directory + b"/vpasswd.cdb"), os.mkdir(directory + b"/vpasswd.cdb")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cdb_is_temporary_until_it_is_made_anew(site, damage):
    store = accounts.store(site)
    store.add_many([some(name) for name in NAMES])
    DAMAGES[damage](site.directory)
    answers = set()
    for name in NAMES:
        try:
            answers.add(store.get(name) is not None)
        except (Temporary, OSError):
            answers.add("later")
    assert answers <= {"later", True} and "later" in answers     # nobody who is there is unknown
    if damage == "a directory":
        os.rmdir(site.directory + b"/vpasswd.cdb")
    else:
        store.rebuild()                 # vmkpasswd
    assert all(store.get(name) for name in NAMES) and store.get(b"nobody") is None


def test_a_missing_cdb_is_made_anew(site):
    store = accounts.store(site)
    store.add_many([some(name) for name in NAMES])
    os.unlink(site.directory + b"/vpasswd.cdb")
    assert store.get(b"user07") == some(b"user07") and store.get(b"nobody") is None


@pytest.mark.parametrize("text", [
    b"user00:x:1:0:::\n\0\0\0\0\0\0\0\n", b"no colon\n", b":x:1:0:::\n", b"a:x\nrubbish", b"\xff\xfe\x00"])
def test_damaged_lines_are_not_made_into_a_cdb(site, text):
    store = accounts.store(site)
    store.add(some(b"joe"))
    put(site.directory + b"/vpasswd", text)
    for change in (store.rebuild, lambda: store.add(some(b"ann")), lambda: store.delete(b"joe"), store.all):
        with pytest.raises(Temporary, match="damaged"):
            change()
    assert store.get(b"joe")            # who looks up has what was there


def test_vpasswd_that_vanished_is_not_begun_anew(site):
    store = accounts.store(site)
    store.add(some(b"joe"))
    os.unlink(site.directory + b"/vpasswd")
    for change in (store.all, store.rebuild, lambda: store.add(some(b"ann")), lambda: store.delete(b"joe")):
        with pytest.raises(Temporary, match="vpasswd is missing"):
            change()
    assert store.get(b"joe")


def test_both_gone_is_temporary_where_users_have_directories(site):
    store = accounts.store(site)
    assert store.get(b"joe") is None
    os.makedirs(site.directory + b"/joe/Maildir")
    with pytest.raises(Temporary, match="vpasswd is missing"):
        store.get(b"joe")
    put(site.directory + b"/vpasswd", b"")          # said by somebody
    assert store.get(b"joe") is None
