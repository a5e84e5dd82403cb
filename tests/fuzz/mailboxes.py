"""Targets of what users have in their homes: Maildirs, accounts, passwords, addresses that may relay."""
import os
import types
from unittest import mock

from pyqmail.auth import accounts as system, accounts_pam, failures, hashes, poppasswd
from pyqmail.base import clock, maildir, maildirsize, tcprules
from pyqmail.base.errors import Permanent, Temporary
from pyqmail.pop3 import maildrop, session as pop3
from pyqmail.programs import maildirwatch, qbiff
from pyqmail.vpopmail import (account, assign, backend, hashdirs, home, instructions, lists, mailbox, place, roaming,
                              vpasswd, vpasswd_large)
from pyqmail.vpopmail.errors import Refused

from .reading import Input

NOW = 1_795_338_307


# ---------------------------------------------------------------- Maildirs

def maildirs(data):
    """A Maildir with files of any name: POP3 lists and gives what is there, QUIT removes what DELE named and loses
    nothing else; a copy is found by its name and contents only; the quota's count is that of the files."""
    given = Input(data)
    for part in maildir.SUBDIRECTORIES:
        os.makedirs(part, exist_ok=True)
    try:
        files = [stored(given) for _ in range(given.byte() % 5)]
        files = {path: text for path, text in filter(None, files)}
        root = os.open(".", os.O_PATH)
        found = maildir.find(root, maildir.Copy(b"5.6"), [b"te", b"xt"])
        os.close(root)
        assert found is None or b"text" in files.values() and found.startswith(b"5.6")
        counted = maildirsize.count(os.fsencode(os.getcwd()))
        assert counted.count <= len(os.listdir("new")) + len(os.listdir("cur"))
        drop = maildrop.Maildrop(NOW)
        seen = [path for path, _ in files.items() if not os.path.basename(path).startswith(b".")]
        assert len(drop.sizes) <= len(seen)
        listed(drop, files, given.byte())
    finally:
        for part in maildir.SUBDIRECTORIES:
            for name in os.listdir(part):
                path = os.path.join(part, name)
                os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def stored(given):
    """Make something in new/ or cur/: (its path, its text) if that is a message."""
    kind, age = given.byte(), given.byte() << given.byte() % 40
    path = (b"new/", b"cur/")[kind & 1] + given.line().translate(None, b"/\0")[:255]
    text = given.line().replace(b"~", b"\n")
    try:
        if kind & 6 == 6:
            (os.mkfifo, os.mkdir)[kind >> 3 & 1](path)
            return None
        with open(path, "xb") as f:
            f.write(text)
        os.utime(path, (age, age))
        return path, text
    except OSError:
        return None


def listed(drop, files, deletions):
    state = pop3.Transaction(drop)

    def say(keyword, argument=b""):
        return b"".join(state.reply((keyword, argument)))
    lines = say(b"uidl").split(b"\r\n")
    assert len(lines) == len(drop.sizes) + 3 and not any(b"\n" in line or b"\r" in line for line in lines)
    kept = dict(files)
    for index, size in enumerate(drop.sizes):
        path = drop._paths[index]
        if path not in files:           # a directory, a pipe
            say(b"retr", b"%d" % (index + 1))
            continue
        assert size == len(files[path])
        if deletions >> index & 1:
            assert say(b"dele", b"%d" % (index + 1)).startswith(b"+OK")
            del kept[path]
    say(b"quit")
    left = sorted(text(path) for path in here())
    assert left == sorted(kept.values()), (left, kept)


def here():
    found = (os.path.join(part, name) for part in (b"new", b"cur") for name in os.listdir(part))
    return [path for path in found if os.path.isfile(path)]


def text(path):
    with open(path, "rb") as f:
        return f.read()


def terminals(data):
    """A message as qbiff and maildirwatch show it: printable, in the lines and as long as they say."""
    fd = os.memfd_create("fuzz", os.MFD_CLOEXEC)
    before = os.dup(0)
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        shown = maildirwatch.block(fd)
        os.lseek(fd, 0, os.SEEK_SET)
        os.dup2(fd, 0)
        announced = qbiff.printable(qbiff.extract(), b"/")
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(fd)
    assert not shown.replace(b"\033[1m", b"").replace(b"\033[0m", b"").strip(qbiff.PRINTABLE + b"\n"), shown
    lines = shown.split(b"\n")
    assert lines[0].startswith(b"FROM ") and len(lines) in (4, 5) and len(lines[-3]) <= maildirwatch.SHOWN, shown
    assert not announced.strip(qbiff.PRINTABLE) and len(announced) <= qbiff.TEXT_LENGTH


class Delivery:
    """What instructions are carried out for."""

    environ, output, error_output, flush, copies, texts, address = {}, 1, 2, None, None, (), b"joe@a.example"

    def __init__(self):
        self.message, self.done = types.SimpleNamespace(), []

    def forward(self, recipient):
        self.done.append((b"&", recipient))

    @staticmethod
    def return_path():
        return b""


def virtual_dot_qmail(data):
    """A virtual user's .qmail: the model's instructions in their order, up to the first that is none."""
    given = Input(data)
    extension, lines = given.line(), given.rest().split(b"\n")
    for name in instructions.names(extension):
        assert name.startswith(b".qmail") and b".." not in name
    delivery, wanted = Delivery(), []

    def run(line, message, output, error_output, environ, cwd):
        delivery.done.append((b"|", line))

    class Box:
        path = b"/h/joe/Maildir/"

        def __init__(self, path=path, *_):
            self.path = path

        def deliver(self, message, return_path):
            delivery.done.append((b"/", self.path))
    for line in lines:
        line = line.rstrip(b"\r")
        if line.startswith(b"|"):
            wanted.append((b"|", line[1:].lstrip(b" \t")))
        elif line.startswith((b"/", b".")):
            path = line.rstrip(b" \t")
            if not path.endswith(b"/"):
                break
            path = path if path.startswith(b"/") else b"/h/joe/" + path.removeprefix(b"./")
            wanted.append((b"/", Box.path if path.rstrip(b"/") == Box.path.rstrip(b"/") else path))
        elif not line.startswith(b"#"):
            wanted.append((b"&", line.removeprefix(b"&").strip(b" \t")))
    with mock.patch.object(instructions.command, "run_shell", run), mock.patch.object(instructions, "Mailbox", Box):
        try:
            instructions.follow(lines, b"/h/joe", delivery, Box())
        except mailbox.Answer as answer:
            assert answer.code == 111
    assert delivery.done == wanted, (delivery.done, wanted)


# ---------------------------------------------------------------- accounts of a domain

SMALL = 2100                        # bytes: from here on a domain of these tests is large


class Domain:
    name = real = b"a.example"
    alias = False

    def __init__(self):
        self.uid, self.gid, self.directory = os.getuid(), os.getgid(), os.fsencode(os.getcwd())


def accounts_of_a_domain(data):
    """Accounts are added, changed and deleted in a vpasswd that may hold anything, and be dated anyhow: what was in it
    stays, look-ups and vpasswd agree; or it is refused, and nothing has changed."""
    given = Input(data)
    bits = given.byte()
    steps = [(given.byte(), given.line() or b"x") for _ in range(1 + given.byte() % 4)]
    start = given.rest()
    if bits & 1:                        # sorted, as ours are
        start = b"".join(sorted(line + b"\n" for line in set(start.split(b"\n")) if line))
    for name in os.listdir(b"."):
        if name.startswith((b"vpasswd", b".vpasswd", b".accounts")):
            os.unlink(name)
    with open("vpasswd", "wb") as f:
        f.write(start)
    store = vpasswd.Embedded(Domain())
    with mock.patch.multiple(vpasswd, LARGE=SMALL if bits & 2 else 1 << 18), \
            mock.patch.multiple(vpasswd_large, LONGEST=64 if bits & 4 else 4096), \
            mock.patch.object(backend, "read", lambda *_: backend.CDB), \
            mock.patch.object(vpasswd, "keeps_clear", lambda: True), mock.patch.object(place, "prot", ACTING), \
            mock.patch("os.fsync"):
        if bits & 8:
            attempt(store.rebuild)
        for kind, name in steps:
            before = text("vpasswd")
            known = None if account.damaged(before) else first_lines(before)
            done = attempt(*change(store, kind, name))
            after = text("vpasswd")
            if done is None:
                assert after == before, (before, after)
            elif known is not None and (in_order(before) or all(count == 1 for _, count in known.values())):
                changed(store, kind, name, known, first_lines(after))
            assert not [each for each in os.listdir(".") if each.endswith(".new")]


class ACTING:
    """Nobody has other rights here."""

    class Acting:
        def __init__(self, *ids):
            pass

        def __enter__(self):
            pass

        def __exit__(self, *problem):
            pass


def in_order(data):
    names = [line.partition(b":")[0] for line in data.split(b"\n") if line]
    return names == sorted(names)


def attempt(function, *arguments):
    """(what it returns,), None if it was refused."""
    try:
        return (function(*arguments),)
    except (Refused, Temporary):
        return None


def change(store, kind, name):
    if kind % 4 == 0:
        return store.add, account.Account(name, b"hash", 1, 0, b"gecos", b"/d/" + name)
    if kind % 4 == 1:
        return store.change, name, set_comment
    if kind % 4 == 2:
        return store.delete, name
    return store.get, name


def set_comment(found):
    found.comment = b"other"


def first_lines(data):
    """{name: (its first line, how many it has)} of a vpasswd."""
    found = {}
    for line in filter(None, data.split(b"\n")):
        name = line.partition(b":")[0]
        first, count = found.get(name, (line, 0))
        found[name] = first, count + 1
    return found


def changed(store, kind, name, before, after):
    others = {each: line for each, line in before.items() if each != name}
    assert {each: line for each, line in after.items() if each != name} == others
    if kind % 4 == 0:
        assert name not in before and after[name][0].startswith(name + b":hash:1:0:gecos:/d/")
    elif kind % 4 == 1:
        assert after[name][0] == account.changed(before[name][0], set_comment, True)
    elif kind % 4 == 2:
        assert after.get(name, (b"", 0))[1] == before[name][1] - 1
    if kind % 4 != 3:
        for each in (name, *list(after)[:3]):
            found = attempt(store.get, each)
            wanted = account.parse(*account.split(after[each][0])) if each in after else None
            assert found == (wanted,), (each, found, wanted)


def domain_lists(data):
    """Lines of domains in users/assign, rcpthosts and the like; .dir-control: what was put in is there once and in its
    order, and what is taken out leaves the rest."""
    given = Input(data)
    line, control, lines = given.line(), given.line().replace(b"~", b"\n"), given.rest().split(b"\n")
    found = lists.insert([each for each in lines if each], line, b"x")
    keys = [lists.key(each) for each in found]
    assert keys == sorted(keys) and line in found and set(found) == {*filter(None, lines), line}
    fields = line.split(b"\0")
    try:
        domain = assign.domain(b"a.example", fields)
        assert 0 <= domain.uid <= assign.LARGEST_ID and 0 <= domain.gid <= assign.LARGEST_ID and domain.directory
    except Temporary:
        pass
    for name in (hashdirs.CONTROL, hashdirs.FREE, hashdirs.LOCK):
        if os.path.exists(name):
            os.unlink(name)
    with open(hashdirs.CONTROL, "wb") as f:
        f.write(control)
    with mock.patch("os.fsync"):
        before, _ = hashdirs.read(hashdirs.FILE)
        places = hashdirs.add_many(3)
        assert len(places) == 3 and all(map(hashdirs.valid, places)) and hashdirs.count() == before + 3
        hashdirs.remove(line)
        assert hashdirs.count() == before + 2
        assert hashdirs.add() == (line if line and hashdirs.valid(line) else hashdirs.read(hashdirs.FILE)[1])


# ---------------------------------------------------------------- logins

def passwords(data):
    """/etc/shadow and users/poppasswd with anything in them: nobody gets in but with the hash on the first line of his
    name, unlocked and not expired; and never root."""
    given = Input(data)
    name, uid, day, field = given.line(), given.byte(), given.byte() << given.byte() % 12, given.line()
    shadow = given.rest()
    with open("shadow", "wb") as f:
        f.write(shadow)
    os.chmod("shadow", 0o600)
    who = system.Account(name, uid, uid, b"/home", b"/bin/sh")
    lines = [line.split(b":") for line in shadow.split(b"\n")]
    mine = next((line for line in lines if name and line[0] == name), None)

    def crypt(password, setting):
        return setting if password == b"secret" else b"*0"

    def no_pam(name, password):
        raise accounts_pam.Unavailable
    with mock.patch.object(hashes, "crypt", crypt):
        found = system.of_system(name, b"secret", who, field, shadow_file="shadow", verify=no_pam, today=day)
        stored = (mine + [b""])[1] if mine else field
        if found is not None:
            assert found is who and uid and len(stored) > 2 and stored[:1] not in b"!*"
            expiry = (mine + [b""] * 8)[7] if mine else b""
            assert not expiry.isdigit() or len(expiry) > 18 or int(expiry) > day
        assert system.of_system(name, b"other", who, field, shadow_file="shadow", verify=no_pam, today=day) is None
        assert system.of_system(name, b"", who, field, shadow_file="shadow", verify=no_pam, today=day) is None
    stored = poppasswd.find(name, os.getuid(), "shadow")
    assert stored == next((b":".join(line[1:]) for line in lines if len(line) > 1 and line[0] == name), b"")


def failed_logins(data):
    """run/login-failures with anything in it: as many failures as are allowed, noted now, shut a user and an address
    out, and none are counted twice."""
    given = Input(data)
    user, ip, limit, bucket = given.line(), given.line(), 1 + given.byte() % 20, given.rest()
    os.makedirs("run", exist_ok=True)
    with open(failures.path(), "wb") as f:
        f.truncate(failures.BUCKETS * failures.BUCKET)
    fd = os.open(failures.path(), os.O_RDWR)
    try:
        own = failures.keys(user, ip)
        for key in own:
            filled = bucket.replace(b"~KEY~KEY", key)[:failures.BUCKET]
            os.pwrite(fd, filled, int.from_bytes(key[:4], "big") % failures.BUCKETS * failures.BUCKET)
    finally:
        os.close(fd)
    before = failures.visit(user, ip, 0)
    for _ in range(limit):
        failures.note(user, ip, limit)
    after = failures.visit(user, ip, 0)
    assert failures.too_many(user, ip, limit) and len(after) == len(before) == len(own)
    if len({key[:4] for key in own}) == len(own):
        assert [min(count + limit, (1 << 32) - 1) for count in before] == after, (before, after)


def open_smtp(data):
    """etc/open-smtp with anything in it: a login puts its address there with its time, an expiry leaves those whose
    time is not over, and the table has no client's address that the file does not name."""
    given = Input(data)
    ip, minutes = roaming.network_client(given.line()) or b"192.0.2.7", 1 + given.byte()
    os.makedirs("etc", exist_ok=True)
    content = given.rest().replace(b"NOW", b"%d" % NOW)
    with open("etc/open-smtp", "wb") as f:
        f.write(content)
    here = os.fsencode(os.getcwd())
    options = {**home.OPTIONS, b"relay-clear-minutes": b"%d" % minutes}
    with mock.patch.dict(home._known, {"account": (here, os.getuid(), os.getgid()), "options": options, "mark": None,
                                       "looked": 0}), mock.patch("os.fsync"):
        known = [line for line in content.split(b"\n") if line]
        new = roaming.enter(ip, NOW)
        lines = [line for line in text(roaming.table()).split(b"\n") if line]
        assert roaming.of(lines[-1], ip) and abs(NOW - roaming.when(lines[-1], 0)) < roaming.FRESH
        assert new == (not any(roaming.of(line, ip) for line in known))
        assert [line for line in lines if not roaming.of(line, ip)] == [line for line in known
                                                                       if not roaming.of(line, ip)]
        try:
            roaming.expire(NOW)
        except Permanent:               # a line that somebody else wrote is no rule
            list_of = text(roaming.table())
        else:
            list_of = text(roaming.table())
            named = b"\n".join(line.partition(b"\t")[0] for line in list_of.split(b"\n"))
            keys = {key for key, _ in tcprules.compile_rules(named)}
            assert roaming.listed(ip) and ip in keys
            assert roaming.listed(b"192.0.2.250") == (b"192.0.2.250" in keys)
        for line in list_of.split(b"\n")[:-1]:
            assert NOW - 60 * minutes < roaming.when(line) <= NOW + clock.AHEAD
