"""vrcptcheck, vverifypw, vkill, and the end of a vchkpw."""
import os

import pytest

from pyqmail.auth import hashes
from pyqmail.base import cdb
from pyqmail.base import home as qmailhome
from pyqmail.base.errors import Temporary
from pyqmail.programs import vkill, vrcptcheck, vverifypw
from pyqmail.vpopmail import accounts, assign, home


@pytest.fixture
def directory(tmp_path, monkeypatch):
    vpop, q = os.fsencode(tmp_path / "vpop"), os.fsencode(tmp_path / "q")
    place = vpop + b"/domains/example.com"
    for path in (place, vpop + b"/etc", q + b"/users", q + b"/control"):
        os.makedirs(path)
    monkeypatch.setattr(qmailhome, "HOME", os.fsdecode(q))
    monkeypatch.delitem(os.environb, b"VPOPMAIL_DOMAIN", raising=False)
    fd = os.open(q + b"/users/cdb", os.O_RDWR | os.O_CREAT)
    cdb.write(fd, [(b"!example.com-", b"example.com\0%d\0%d\0%b\0-\0" % (os.getuid(), os.getgid(), place))])
    os.close(fd)
    home.use(vpop, os.getuid(), os.getgid())
    write(vpop + b"/etc/vlimits.default", b"")
    write(place + b"/.qmail-default", b"| /v/bin/vdelivermail '' bounce-no-mailbox\n")
    store = accounts.store(assign.find(b"example.com"))
    store.add(accounts.Account(b"joe", hashes.crypt(b"pw", b"$1$abcdefgh$"), directory=place + b"/joe"))
    store.add(accounts.Account(b"locked", b"", flags=16))
    yield place
    home._known.clear()


def write(path, text):
    with open(path, "wb") as f:
        f.write(text)


@pytest.mark.parametrize("address, code", [
    (b"joe@example.com", 0), (b"Joe%Example.Com", 0), (b"nobody@example.com", 1), (b"@example.com", 1), (b"joe@none.example", 2),
    (b"joe", 2), (b"locked@example.com", 1), (b"a b@example.com", 1), (b"list@example.com", 0), (b"my.list@example.com", 0),
    (b"team-x@example.com", 0), (b"joe-x@example.com", 1)])
def test_who_takes_mail(directory, address, code):
    for name in (b"list", b"my:list", b"team-default"):
        write(directory + b"/.qmail-" + name, b"&a@b\n")
    assert vrcptcheck.main([address]) == code


@pytest.mark.parametrize("text, code", [
    (b"| /v/bin/vdelivermail '' delete\n", 0), (b"/v/joe/Maildir/\n", 0), (b"# x\n|/v/bin/vdelivermail '' 'bounce-no-mailbox'\n", 1),
    (b"", 0), (b"|/other/program bounce-no-mailbox\n", 0)])
def test_a_domain_that_takes_everything(directory, text, code):
    write(directory + b"/.qmail-default", text)
    assert vrcptcheck.main([b"nobody@example.com"]) == code


@pytest.mark.parametrize("words, code", [
    ([b"joe@example.com", b"pw"], 0), ([b"joe@example.com", b"no"], 1), ([b"none@example.com", b"pw"], 1), ([b"joe@example.com", b""], 1),
    ([b"locked@example.com", b"pw"], 1), ([b"j e@example.com", b"pw"], 1), ([], 255), ([b"a", b"b", b"c"], 255)])
def test_a_password(directory, words, code):
    assert vverifypw.main(words) == code


def test_what_cannot_be_told_now(directory):
    write(directory + b"/vpasswd.cdb", b"nonsense")
    for main, words in ((vrcptcheck.main, [b"joe@example.com"]), (vverifypw.main, [b"joe@example.com", b"pw"])):
        with pytest.raises(Temporary):      # errors.run: 111
            main(words)


@pytest.mark.parametrize("main", [vrcptcheck.main, vverifypw.main, vkill.main])
def test_usage(directory, main):
    assert main([]) == 255


def test_who_would_be_killed(monkeypatch):
    lines = {"1": b"init word ", "20": b"a word ", "21": b"supervise word ", "22": b"other ", "23": b"word"}
    monkeypatch.setattr(vkill.os, "listdir", lambda path: [*lines, "self"])
    monkeypatch.setattr(vkill, "command_line", lines.__getitem__)
    monkeypatch.setattr(vkill, "ancestors", lambda: {1, 23})
    assert list(vkill.victims(b"word")) == [20]


def test_nobody_kills_himself_or_his_parents():
    assert {1, os.getpid(), os.getppid()} <= vkill.ancestors()
    assert b"python" in vkill.command_line(str(os.getpid())) or vkill.command_line(str(os.getpid()))
