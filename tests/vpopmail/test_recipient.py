"""What RCPT is told about virtual users is what vdelivermail does with their mail."""
import os

import pytest

from pyqmail.base import cdb
from pyqmail.base import home as qmailhome
from pyqmail.base.errors import Temporary
from pyqmail.delivery import command, dotqmail
from pyqmail.delivery.message import Message
from pyqmail.vpopmail import accounts, assign, delivery, home, recipient

DOMAIN = b"example.com"
ROOM = recipient.Verdict


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The domain's directory."""
    vpop, q = os.fsencode(tmp_path / "vpop"), os.fsencode(tmp_path / "q")
    directory = vpop + b"/domains/" + DOMAIN
    for path in (directory, vpop + b"/etc", q + b"/users", q + b"/control"):
        os.makedirs(path)
    monkeypatch.setattr(qmailhome, "HOME", os.fsdecode(q))
    monkeypatch.setattr(command, "is_ours", lambda program: program == b"/v/bin/vdelivermail")
    monkeypatch.chdir(os.fsdecode(directory))
    fd = os.open(q + b"/users/cdb", os.O_RDWR | os.O_CREAT)
    cdb.write(fd, [(b"!%b-" % name, b"%b\0%d\0%d\0%b\0-\0" % (DOMAIN, os.getuid(), os.getgid(), directory))
                   for name in (DOMAIN, b"alias.example")])
    os.close(fd)
    home.use(vpop, os.getuid(), os.getgid())
    write(vpop + b"/etc/vlimits.default", b"")
    store = accounts.store(assign.find(DOMAIN))
    for name, more in {b"joe": {}, b"locked": {"flags": 16}, b"limited": {"quota": b"1000S"}, b"few": {"quota": b"2C"},
                       b"both": {"quota": b"1000S,2C"}, b"forwards": {"quota": b"1S"},
                       b"empty": {"quota": b"1S"}}.items():
        store.add(accounts.Account(name, b"x", directory=directory + b"/" + name, **more))
        for part in (b"new", b"cur", b"tmp"):
            os.makedirs(b"%b/%b/Maildir/%b" % (directory, name, part))
    write(directory + b"/forwards/.qmail", b"# nobody gets it\n")
    write(directory + b"/empty/.qmail", b"")
    yield directory
    home._known.clear()


def write(path, text):
    with open(path, "wb") as f:
        f.write(text)


def fill(directory, user, *sizes):
    for n, size in enumerate(sizes):
        write(b"%b/%b/Maildir/new/%d.a,S=%d" % (directory, user, n, size), b"x" * size)


def verdict(text, ext=b"joe", host=DOMAIN, size=0):
    return recipient.by_instructions(dotqmail.Instructions(text), ext, host, size)


@pytest.mark.parametrize("line", [b"|vdelivermail x|\n", b"|vdelivermail | \t\n"])
def test_a_line_that_ends_with_a_pipe_names_no_program(line):
    found = dotqmail.Instructions(line)
    assert recipient.by_instructions(found, b"x", b"a.test", action_of=recipient.last_word) is recipient.KNOWN


def delivered(action, ext, size, tmp_path, host=DOMAIN):
    """vdelivermail's exit code for a message of `size` bytes."""
    path = tmp_path / "message"
    path.write_bytes(b"Subject: x\n\n" + b"x" * (size - 12))
    with open(path, "rb") as message, open(os.devnull, "wb") as null:
        return delivery.deliver(action, {b"EXT": ext, b"HOST": host}, Message(message.fileno()), null.fileno())


BOUNCE = b"bounce-no-mailbox"


@pytest.mark.parametrize("ext, action, known", [
    (b"joe", BOUNCE, True), (b"JOE", BOUNCE, True), (b"nobody", BOUNCE, False), (b"locked", BOUNCE, False),
    (b"locked", b"delete", False), (b"nobody", b"delete", True), (b"joe-x", BOUNCE, False), (b"", BOUNCE, False),
    (b"a b", BOUNCE, False), (b"a b", b"delete", False), (b"joe\xff", BOUNCE, False), (b"x" * 200, BOUNCE, False),
    (b"forwards", BOUNCE, True)])
def test_as_it_is_delivered(place, tmp_path, ext, action, known):
    for host in (DOMAIN, b"alias.example", b"Example.COM"):
        assert recipient.of_user(ext, host, action).known == known
        assert delivered(action, ext, 100, tmp_path, host) == (0 if known else 100)


@pytest.mark.parametrize("user, held, size, found", [
    (b"limited", [], 0, ROOM(True, 1000)), (b"limited", [400, 500], 0, ROOM(True, 100)),
    (b"limited", [400, 500], 100, ROOM(True, 100)), (b"limited", [400, 500], 101, recipient.FULL),
    (b"limited", [1000], 0, recipient.FULL), (b"few", [5], 10_000, recipient.KNOWN),
    (b"few", [5, 5], 0, recipient.FULL),
    (b"both", [5], 900, ROOM(True, 995)), (b"both", [5, 5], 900, recipient.FULL), (b"both", [5], 996, recipient.FULL),
    (b"joe", [10_000], 10_000, recipient.KNOWN), (b"forwards", [10_000], 10_000, recipient.KNOWN),
    (b"empty", [], 5000, recipient.FULL)])
def test_quota(place, tmp_path, user, held, size, found):
    fill(place, user, *held)
    assert recipient.of_user(user, DOMAIN, BOUNCE, size) == found
    if size > 20:
        assert delivered(BOUNCE, user, size, tmp_path) == (100 if found is recipient.FULL else 0)


def test_no_is_said_only_after_a_count(place):
    """maildirsize knows nothing of messages that a reader has removed."""
    fill(place, b"limited", 100)
    write(place + b"/limited/Maildir/maildirsize", b"1000S\n500 1\n450 1\n")
    assert recipient.of_user(b"limited", DOMAIN, BOUNCE) == ROOM(True, 50)
    assert recipient.of_user(b"limited", DOMAIN, BOUNCE, 60) == ROOM(True, 900)


def test_a_maildir_that_is_gone_is_made_by_the_delivery(place):
    os.rename(place + b"/limited", place + b"/away")
    assert recipient.of_user(b"limited", DOMAIN, BOUNCE, 5000) is recipient.KNOWN


def test_an_extension_where_extensions_are_allowed(place):
    write(home.path(b"options"), b"qmail-ext yes\n")
    home._known.pop("options", None)
    assert recipient.of_user(b"joe-list-x", DOMAIN, BOUNCE) is recipient.KNOWN
    assert recipient.of_user(b"nobody-x", DOMAIN, BOUNCE) is recipient.UNKNOWN


LINE = b"| /v/bin/vdelivermail '' bounce-no-mailbox\n"


@pytest.mark.parametrize("text, known", [
    (LINE, False), (b"# x\n" + LINE, False), (b"|/v/bin/vdelivermail \"\" 'bounce-no-mailbox'\n", False),
    (b"|/usr/bin/filter -x 5 | /v/bin/vdelivermail '' bounce-no-mailbox\n", False),
    (b"| /v/bin/vdelivermail '' delete\n", True), (b"| /other/vdelivermail '' bounce-no-mailbox\n", True),
    (LINE + b"./Maildir/\n", True), (b"&joe@far.test\n" + LINE, True), (b"|condredirect a@b false\n" + LINE, True),
    (b"| false || /v/bin/vdelivermail '' bounce-no-mailbox\n", True),
    (b"| x; exit 0 | /v/bin/vdelivermail '' bounce-no-mailbox\n", True),
    (b"| /v/bin/vdelivermail '' bounce-no-mailbox | cat\n", True), (b"| vdelivermail\n", True),
    (b"&vdelivermail@a\n", True),
    (b"./Maildir/\n", True), (b"|| /v/bin/vdelivermail '' bounce-no-mailbox\n", True)])
def test_whose_word_it_is(place, text, known):
    """"unknown" only where nothing but our vdelivermail decides."""
    assert verdict(text, b"nobody").known == known
    assert verdict(text, b"joe").known


@pytest.mark.parametrize("text", [b"\n" + LINE, b"+list\n" + LINE])
def test_what_is_deferred(place, text):
    with pytest.raises(Temporary):
        verdict(text, b"nobody")


def test_what_cannot_be_told(place):
    write(place + b"/vpasswd.cdb", b"nonsense")
    with pytest.raises(Temporary):
        verdict(LINE)
