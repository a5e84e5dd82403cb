"""Delivering to virtual users: by their .qmail, within their quota, and what happens to nobody's mail."""
import itertools
import os

import pytest

from pyqmail.base import cdb, maildir
from pyqmail.base import home as qmailhome
from pyqmail.delivery import command
from pyqmail.delivery.copies import Copies
from pyqmail.delivery.message import Message
from pyqmail.inject import injection
from pyqmail.vpopmail import accounts, delivery, home, instructions, mailbox

MAIL = b"From: x@remote.example\n\nhello\n"
SENDER = b"Return-Path: <x@remote.example>\n"


class Place:
    """A domain example.com with the user joe, below a directory of the test."""

    def __init__(self, root):
        self.root, self.uid, self.gid = root, os.getuid(), os.getgid()
        self.directory = root + b"/vpop/domains/example.com"
        os.makedirs(self.directory, 0o700)
        os.makedirs(root + b"/q/users")
        self.real = self.name = b"example.com"
        fd = os.open(root + b"/q/users/cdb", os.O_RDWR | os.O_CREAT)
        entry = b"example.com\0%d\0%d\0%b\0-\0" % (self.uid, self.gid, self.directory)
        cdb.write(fd, [(b"!example.com-", entry), (b"!alias.example-", entry), (b"", b"-")])
        os.close(fd)
        self.add(b"joe")

    def add(self, name, **fields):
        directory = fields.setdefault("directory", self.directory + b"/" + name)
        accounts.store(self).add(accounts.Account(name, **fields))
        if directory:
            os.mkdir(directory)
            maildir.make(directory + b"/Maildir")

    def change(self, name, **fields):
        def exchange(account):
            for field, value in fields.items():
                setattr(account, field, value)
        accounts.store(self).change(name, exchange)

    def write(self, path, text):
        with open(self.directory + b"/" + path, "wb") as f:
            f.write(text)

    def deliver(self, user=b"joe", action=b"bounce-no-mailbox", mail=MAIL, host=b"example.com", known=None, **environ):
        """(exit code, output)"""
        variables = {b"EXT": user, b"HOST": host, b"RPLINE": SENDER, b"PATH": b"/usr/bin:/bin",
                     b"DTLINE": b"Delivered-To: example.com-%b@%b\n" % (user, host),
                     **{os.fsencode(name): value for name, value in environ.items()}}
        variables = {name: value for name, value in variables.items() if value is not None}
        message, output = os.memfd_create("message"), os.memfd_create("output")
        os.write(message, mail)
        code = delivery.deliver(action, variables, Message(message), output, output, copies=known)
        said = os.pread(output, 100_000, 0)
        os.close(message)
        os.close(output)
        return code, said

    def messages(self, user=b"joe"):
        """{name without what is unique: contents} of new/."""
        found = {}
        directory = b"%b/%b/Maildir/new" % (self.directory, user)
        for name in os.listdir(directory):
            with open(directory + b"/" + name, "rb") as f:
                found[name[name.index(b","):]] = f.read()
        return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    root = os.fsencode(tmp_path)
    monkeypatch.setattr(qmailhome, "HOME", os.fsdecode(root + b"/q"))
    home.use(root + b"/vpop", os.getuid(), os.getgid())
    yield Place(root)
    home._known.clear()


WHOLE = SENDER + b"Delivered-To: joe@example.com\n" + MAIL


@pytest.mark.parametrize("user, host", [(b"joe", b"example.com"), (b"JoE", b"Example.COM"), (b"joe", b"alias.example")])
def test_into_the_maildir_with_the_size_in_the_name(place, user, host):
    assert place.deliver(user, host=host) == (0, b"")
    assert place.messages() == {b",S=%d" % len(WHOLE): WHOLE}


def test_an_empty_message_is_dropped(place):
    assert place.deliver(mail=b"") == (0, b"") and place.messages() == {}


@pytest.mark.parametrize("environ, answer", [
    ({"EXT": None}, b"vdelivermail: no EXT environment varilable\n"), ({"EXT": b"jo e"}, b"invalid username\n"),
    ({"HOST": None}, b"vdelivermail: no HOST environment varilable\n"), ({"HOST": b"a_b"}, b"invalid domain name\n"),
    ({"EXT": b""}, delivery.NO_MAILBOX), ({"HOST": b"none.example"}, delivery.NO_MAILBOX),
    ({"DTLINE": b"Delivered-To: JOE@example.com\n"}, delivery.LOOPING)])
def test_what_is_refused_by_the_environment(place, environ, answer):
    assert place.deliver(**environ) == (100, answer)


@pytest.mark.parametrize("mail, code", [
    (b"delivered-to:  JOE@example.com \n" + MAIL, 100), (MAIL + b"Delivered-To: joe@example.com\n", 0),
    (b"Delivered-To: ann@example.com\n" + MAIL, 0)])
def test_a_message_that_has_been_here_loops(place, mail, code):
    assert place.deliver(mail=mail)[0] == code


def test_a_locked_account(place):
    place.change(b"joe", flags=16 + 1)
    assert place.deliver() == (100, b"vdelivermail: account is locked email bounced joe@example.com\n")


@pytest.mark.parametrize("user, action, code, said", [
    (b"nobody", b"bounce-no-mailbox", 100, delivery.NO_MAILBOX), (b"nobody", b"delete", 0, b""),
    (b"joe-list", b"delete", 0, b"")])
def test_mail_for_nobody(place, user, action, code, said):
    assert place.deliver(user, action) == (code, said) and place.messages() == {}


def test_mail_for_nobody_into_a_directory_or_its_maildir(place):
    path = place.directory + b"/joe"
    for action, shown in ((path, path + b"/"), (path + b"/Maildir/", path + b"/Maildir/")):
        assert place.deliver(b"x" * len(action), action) == (0, b"user does not exist, but will deliver to %b\n" % shown)
    assert all(b"Delivered-To: xxx" in text for text in place.messages().values()) and len(place.messages()) == 2


def test_a_message_of_ones_own_the_domains_first(place):
    with open(place.root + b"/vpop/domains/.no-user.msg", "wb") as f:
        f.write(b"nobody here\n")
    assert place.deliver(b"nobody") == (100, b"nobody here\n")
    place.write(b".no-user.msg", b"not in this domain\n")
    assert place.deliver(b"nobody") == (100, b"not in this domain\n")


def test_a_directory_that_is_gone_is_made_again(place):
    os.rename(place.directory + b"/joe", place.root + b"/away")
    assert place.deliver() == (0, b"") and len(place.messages()) == 1


def test_an_account_without_a_directory_gets_the_usual_one(place):
    place.add(b"ann", directory=b"")
    assert place.deliver(b"ann") == (0, b"") and len(place.messages(b"ann")) == 1


def test_a_maildir_that_cannot_be_written_defers(place):
    os.rmdir(place.directory + b"/joe/Maildir/tmp")
    code, said = place.deliver()
    start = b"can not open new email file errno=2 file=%b/joe/Maildir/tmp/" % place.directory
    assert code == 111 and said.startswith(start) and said.endswith(b",S=%d\nsystem error\n" % len(WHOLE))


def test_an_unreadable_database_is_never_nobody(place):
    place.write(b"vpasswd.cdb", b"nonsense")
    code, said = place.deliver()
    assert code == 111 and said


@pytest.mark.parametrize("text, kept", [(b"", 1), (b"# gone\n#\n", 0), (b"./Maildir/\n", 1), (b"Maildir/x@y\n", 0)])
def test_the_users_own_qmail(place, text, kept, monkeypatch):
    sent = []
    monkeypatch.setattr(instructions, "inject", lambda address, start, job: sent.append(address) and 0)
    place.write(b"joe/.qmail", text)
    assert place.deliver() == (0, b"")
    assert len(place.messages()) == kept and sent == ([b"Maildir/x@y"] if text.startswith(b"M") else [])


def test_addresses_are_injected_one_by_one(place, monkeypatch):
    sent = []
    monkeypatch.setattr(instructions, "inject", lambda *about: sent.append(about[:2]) or 0)
    place.write(b"joe/.qmail", b"ann@other.example\n&bob@other.example")
    assert place.deliver() == (0, b"")
    start = SENDER + b"Delivered-To: joe@example.com\n"
    assert sent == [(b"ann@other.example", start), (b"bob@other.example", start)]


def test_a_failing_injection_ends_it_with_its_exit_code(place, monkeypatch):
    monkeypatch.setattr(instructions, "inject", lambda *about: 100)
    place.write(b"joe/.qmail", b"ann@other.example\n./Maildir/\n")
    assert place.deliver() == (100, b"system error calling qmail-inject\n") and place.messages() == {}


class Queue:
    """Takes the place of a Submission; `taken`: (sender, recipients, message) of each."""

    taken = []

    def __init__(self, environ):
        self.message = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def put(self, data):
        self.message += data

    def finish(self, sender, recipients):
        self.taken.append((sender, recipients, self.message))
        return b"Zno (#4.3.0)" if recipients == [b"full@c.test"] else b""


@pytest.fixture
def queue(monkeypatch):
    """What is injected here; a program that is started makes the test fail."""
    monkeypatch.setattr(qmailhome, "ours", lambda name: True)
    monkeypatch.setattr(instructions.child, "start", None)
    monkeypatch.setattr(injection, "Submission", Queue)
    monkeypatch.setattr(Queue, "taken", [])
    return Queue.taken


def test_addresses_are_injected_here(place, queue):
    """Without a program, and as if each had its own: no two messages have the same id."""
    place.write(b"joe/.qmail", b"a@x.test\n&B@y.test\n")
    assert place.deliver(mail=b"Subject: no id\n\nhello\n") == (0, b"")
    assert [sent[:2] for sent in queue] == [(b"x@remote.example", [b"a@x.test"]), (b"x@remote.example", [b"B@y.test"])]
    assert all(b"\nDelivered-To: joe@example.com\nSubject: no id\n" in message for *_, message in queue)
    assert all(message.endswith(b"\n\nhello\n") for *_, message in queue)
    ids = {line for *_, message in queue for line in message.split(b"\n") if line.startswith(b"Message-ID:")}
    assert len(ids) == 2


def test_an_injection_that_fails_here(place, queue):
    place.write(b"joe/.qmail", b"full@c.test\na@x.test\n")
    code, said = place.deliver()
    assert code == 111 and len(queue) == 1
    assert said == b"qmail-inject: fatal: no (#4.3.0)\nsystem error calling qmail-inject\n"


def test_options_that_change_are_read_again(place, monkeypatch):
    """A warm process delivers for an hour."""
    now = itertools.count(home.time.monotonic() + 10, 10)
    monkeypatch.setattr(home.time, "monotonic", lambda: next(now))
    path = place.root + b"/vpop/options"
    assert place.deliver(b"joe-list")[0] == 100
    with open(path, "wb") as f:
        f.write(b"qmail-ext yes\n")
    assert place.deliver(b"joe-list") == (0, b"")
    with monkeypatch.context() as patched:
        patched.setattr(home, "_read_options", None)        # not read without need
        assert place.deliver(b"joe-list") == (0, b"")
    os.unlink(path)
    assert place.deliver(b"joe-list")[0] == 100


def test_a_forward_to_where_it_came_from_loops(place):
    place.write(b"joe/.qmail", b"&Ann@other.example\n")
    assert place.deliver(mail=b"Delivered-To: ann@Other.example\n" + MAIL) == (100, delivery.LOOPING)


@pytest.mark.parametrize("own, code", [
    (0, 0), (1, 111), (64, 100), (65, 100), (70, 100), (76, 100), (77, 100), (78, 100), (99, 99), (100, 100), (111, 111),
    (112, 100)])
def test_exit_codes_of_programs(place, own, code):
    place.write(b"joe/.qmail", b"|exit %d\n" % own)
    assert place.deliver() == (code, b"")


def test_a_program_gets_the_message_in_the_users_directory(place):
    place.write(b"joe/.qmail", b'| cat > copy; echo "$EXT $HOST $SHELL `pwd`"\n|exit 99\n/none/\n')
    code, said = place.deliver()
    assert (code, said) == (99, b"joe example.com /bin/sh %b/joe\n" % os.path.realpath(place.directory))
    with open(place.directory + b"/joe/copy", "rb") as f:
        assert f.read() == MAIL


def test_a_maildir_of_somebody_else_and_no_mbox(place):
    place.add(b"ann")
    place.write(b"joe/.qmail", b"%b/ann/Maildir/\n./Mailbox\n" % place.directory)
    assert place.deliver() == (111, b"can't handle mbox delivery for ./Mailbox")
    assert b"Delivered-To: ann@example.com\n" in b"".join(place.messages(b"ann").values())


@pytest.mark.parametrize("path, address", [
    (b"/v/domains/example.com/joe/Maildir/", b"joe@example.com"), (b"/v/example.com/0/a/joe/Maildir/", b"joe@example.com"),
    (b"/v/example.com/joe/Maildir/.Spam/", b"joe@example.com"), (b"/v/example/joe/Maildir/", b"x@y"), (b"/v/a.b/joe/box/", b"x@y")])
def test_whom_a_path_stands_for(path, address):
    assert mailbox.recipient(path, b"x@y") == address


def test_extensions_are_an_option(place, monkeypatch):
    monkeypatch.setattr(home, "enabled", lambda name: name == b"qmail-ext")
    place.write(b"joe/.qmail-default", b"|echo default\n")
    place.write(b"joe/.qmail-a:b", b"|echo own\n")
    for user, said in ((b"joe-x", b"default\n"), (b"joe-a.b", b"own\n"), (b"joe", b"")):
        assert place.deliver(user) == (0, said)


def size(place):
    with open(place.directory + b"/joe/Maildir/maildirsize", "rb") as f:
        return f.read()


def test_a_quota_with_room(place):
    place.change(b"joe", quota=b"10000S")
    assert place.deliver() == (0, b"") and place.deliver() == (0, b"")
    assert size(place) == b"10000S\n0 0\n%d 1\n%d 1\n" % (len(WHOLE), len(WHOLE))


@pytest.mark.parametrize("quota, fits", [
    (b"%dS" % len(MAIL), True), (b"%dS" % (len(MAIL) - 1), False), (b"0S", True), (b"", True), (b"NOQUOTA", True)])
def test_the_size_that_counts_is_that_of_the_message_as_it_came(place, quota, fits):
    place.change(b"joe", quota=quota)
    assert place.deliver() == ((0, b"") if fits else (100, b"user is over quota\n\n"))


def test_over_quota_with_a_text_and_one_warning_a_day(place):
    place.change(b"joe", quota=b"1C")
    place.write(b".over-quota.msg", b"Box is full.\n")
    place.write(b".quotawarn.msg", b"Subject: nearly full\n\nclean up\n")
    assert place.deliver() == (0, b"")
    for _ in range(2):
        assert place.deliver() == (100, b"Box is full.\n\n")
    warnings = [text for text in place.messages().values() if b"clean up" in text]
    assert len(warnings) == 1 and warnings[0].startswith(b"Delivered-To: joe@example.com\nDate: ")


@pytest.mark.parametrize("limits, held, fits", [
    (b"quota: 1\n", 1 << 20, False), (b"quota: 1\n", 1000, True), (b"maxmsgcount: 1\n", 5, False), (b"", 1 << 30, True)])
def test_the_quota_of_a_domain(place, monkeypatch, limits, held, fits):
    monkeypatch.setattr(home, "enabled", lambda name: name == b"domain-quotas")
    place.add(b"ann")
    place.write(b"ann/Maildir/cur/1.h,S=%d:2,S" % held, b"")
    place.write(b".qmailadmin-limits", limits)
    assert place.deliver() == ((0, b"") if fits else (100, b"domain is over quota\n\n"))


LINE = b" %b '' bounce-no-mailbox"


@pytest.fixture
def program(place):
    """Our launcher of vdelivermail, and a link to it in VPOPHOME/bin."""
    os.makedirs(place.root + b"/q/bin")
    os.makedirs(place.root + b"/vpop/bin")
    with open(place.root + b"/q/bin/vdelivermail", "wb") as f:
        f.write(b"from pyqmail.programs.vdelivermail import main\n")
    os.symlink(place.root + b"/q/bin/vdelivermail", place.root + b"/vpop/bin/vdelivermail")
    return place.root + b"/vpop/bin/vdelivermail"


@pytest.mark.parametrize("line, action", [
    (b" %b '' bounce-no-mailbox", b"bounce-no-mailbox"), (b"%b  \"\" 'delete' ", b"delete"), (b"%b '' a@b.example", b"a@b.example"),
    (b"%b '' /a/b/", b"/a/b/"), (b"%b '' $X", None), (b"%b '' a;b", None), (b"%b '' a>b", None), (b"%b '' ~", None),
    (b"%b '' ''", None), (b"%b '' a b", None), (b"%b '' \\a", None), (b"%b '' 'a'b'", None), (b"%b bounce-no-mailbox", None),
    (b"X=1 %b '' delete", None), (b"%b '' delete\r", None), (b"/bin%b '' delete", None)])
def test_which_lines_are_our_own(program, line, action):
    assert command.own_vdelivermail(line % program) == action


def test_a_program_in_its_place_is_run(place, program):
    with open(place.root + b"/q/bin/vdelivermail", "wb") as f:
        f.write(b"#!/bin/sh\necho mine $2\n")
    assert command.own_vdelivermail(LINE % program) is None


def test_qmail_local_delivers_itself(place, program, monkeypatch):
    from pyqmail.delivery import deliver
    started = []
    monkeypatch.setattr(command.child, "start", lambda *about, **more: started.append(about))
    place.write(b".qmail-default", b"|%b '' bounce-no-mailbox\n" % program)
    os.chmod(place.directory, 0o700)
    message, output = os.memfd_create("message"), os.memfd_create("output")
    os.write(message, MAIL)
    for user, code, said in ((b"joe", 0, b"did 0+0+1\n"), (b"nobody", 100, delivery.NO_MAILBOX)):
        order = deliver.Order(b"example.com", place.directory, b"example.com-" + user, b"-", user, b"example.com",
                              b"x@remote.example", b"", message=message, output=output, environ={})
        os.ftruncate(output, 0)
        os.lseek(output, 0, os.SEEK_SET)
        assert deliver.deliver(order) == code and os.pread(output, 1000, 0) == said
    os.close(message)
    os.close(output)
    assert started == [] and place.messages() == {b",S=%d" % len(WHOLE): WHOLE}


class TestMadeAgain:
    """A delivery whose success nobody noted comes again."""

    NUMBER = b"1795338307.000000001777"

    def read(self, place):
        directory = place.directory + b"/joe/Maildir/"
        for name in os.listdir(directory + b"new"):
            os.rename(b"%bnew/%b" % (directory, name), b"%bcur/%b:2,S" % (directory, name))

    def count(self, place):
        return sum(len(os.listdir(place.directory + b"/joe/Maildir/" + part)) for part in (b"new", b"cur"))

    @pytest.mark.parametrize("read", [False, True])
    @pytest.mark.parametrize("file", [None, b"./Maildir/\n", b"/nowhere/Maildir/\n"])
    def test_one_copy(self, place, read, file):
        place.deliver(known=Copies(self.NUMBER))
        if read:
            self.read(place)
        if file:
            place.write(b"joe/.qmail", file)
        assert place.deliver(known=Copies(self.NUMBER, True))[0] == (111 if file and b"nowhere" in file else 0)
        assert self.count(place) == 1

    def test_its_own_copy_does_not_fill_the_quota(self, place):
        place.change(b"joe", quota=b"1C")
        assert place.deliver(known=Copies(self.NUMBER)) == (0, b"")
        assert place.deliver(known=Copies(self.NUMBER, True)) == (0, b"")
        assert place.deliver(known=Copies(self.NUMBER + b"8", True))[0] == 100
        assert self.count(place) == 1
