"""A delivery into a Maildir that was made but not noted comes again, and there is one copy all the same."""
import contextlib
import os
import re
import select
import signal
import subprocess

import pytest

from pyqmail.base import durable
from tests.peers import proc
from tests.peers.load import numbers

pytestmark = [pytest.mark.root, pytest.mark.system]

DEFERRED = ": deferral: "            # the report of a process that was killed; of a cold one, its script reports
WRAPPER = "#!/bin/sh\nexec {program}.own \"$@\"\n"


@pytest.fixture
def mail(own_mail):
    return own_mail


class Death:
    """The first of these processes (with `new`, of what they start) that is about to do `call`, for the when-th time,
    is killed there."""

    def __init__(self, call, *pids, new=False, when=1):
        words = ["-f"] * new + [f"--trace={call}", f"--inject={call}:signal=KILL:when={when}", "--output=/dev/null"]
        self.process = subprocess.Popen(["strace", *words, *(f"--attach={pid}" for pid in pids)], stderr=subprocess.PIPE)
        self.awaited, self.text = len(pids), b""

    def __enter__(self):
        while self.text.count(b" attached") < self.awaited:
            assert select.select([self.process.stderr], [], [], 60)[0]
            data = os.read(self.process.stderr.fileno(), 4096)
            assert data, self.text
            self.text += data
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.stderr.close()
        self.process.wait()


def send(mail, person, number, *more):
    mail.send("", person.address, *more, text=b"Subject: once\r\n\r\nnumber %d.\r\n" % number)


def copies(person, number):
    return sum(number in numbers([text]) for text in person.messages())


@contextlib.contextmanager
def dying(mail, person, number, call, *pids, new=False, when=1):
    """Inside, the message `number` is sent; at the end it is in the Maildir and the process that put it there dead."""
    before = mail.log().count(DEFERRED)
    with Death(call, *pids, new=new, when=when):
        yield
        mail.wait(lambda: mail.log().count(DEFERRED) > before and copies(person, number))


def read(person):
    """What a mail reader does with new messages."""
    for name in os.listdir(f"{person.home}/Maildir/new"):
        os.rename(f"{person.home}/Maildir/new/{name}", f"{person.home}/Maildir/cur/{name}:2,S")


def warm(mail, person):
    """The processes that deliver for a person now; a message makes one."""
    send(mail, person, 1)
    mail.wait(lambda: copies(person, 1))
    mail.settled()
    return [process.pid for process in mail.workers("qmail-lspawn") if process.uid == person.uid]


@contextlib.contextmanager
def cold(mail):
    """bin/qmail-local is another program, which runs ours: no warm process does its work."""
    program = f"{mail.home}/bin/qmail-local"
    os.rename(program, f"{program}.own")
    mail.put(program, WRAPPER.format(program=program), 0o755)
    try:
        yield
    finally:
        os.rename(f"{program}.own", program)


def first_fsync_of_a_name(person):
    """Which fsync of a delivery is the first one after the link: without a journal the contents have had theirs."""
    fd = os.open(person.home, os.O_RDONLY)
    try:
        return 1 if durable.has_journal(fd) else 2
    finally:
        os.close(fd)


@pytest.mark.parametrize("taken", [False, True], ids=["in new", "in cur"])
@pytest.mark.parametrize("call", ["unlinkat", "fsync"])
def test_a_warm_process_dies_after_the_copy_was_made(mail, people, call, taken):
    person = people()
    when = 1 if call == "unlinkat" else first_fsync_of_a_name(person)
    with dying(mail, person, 2, call, *warm(mail, person), when=when):
        send(mail, person, 2)
    if taken:
        read(person)
    mail.finish()
    assert copies(person, 2) == 1


@pytest.mark.parametrize("taken", [False, True], ids=["in new", "in cur"])
def test_a_cold_qmail_local_dies_after_the_copy_was_made(mail, people, taken):
    person = people()
    lspawn, = [process for process in mail.processes("qmail-lspawn") if process.uid == 0]
    with cold(mail):
        with dying(mail, person, 2, "unlinkat", lspawn.pid, new=True):
            send(mail, person, 2)
        if taken:
            read(person)
        mail.finish()
    assert copies(person, 2) == 1


@pytest.mark.parametrize("taken", [False, True], ids=["in new", "in cur"])
def test_qmail_send_dies_before_it_notes_the_success(mail, people, taken):
    person, pid = people(), mail.pid("send")
    with mail.stopped(*mail.processes("qmailctl")), Death("unlink", pid):
        send(mail, person, 2)
        mail.wait(lambda: pid not in [process.pid for process in mail.processes("qmail-send")])
        assert copies(person, 2) == 1
        if taken:
            read(person)
    mail.up()
    mail.finish()
    assert copies(person, 2) == 1


@pytest.mark.parametrize("taken", [False, True], ids=["in new", "in cur"])
def test_a_virtual_user(virtual, taken):
    """The size in the name, the quota, the file maildirsize: one copy, one account of it."""
    address = virtual.add_user(f"joe@{virtual.add_domain()}", "-q", "100000S")
    box = f"{virtual.user_directory(address)}/Maildir"
    uid = os.stat(box).st_uid

    def deliver(text):
        virtual.command("qmail-inject", "-f", "", address, text=f"Subject: {text}\n\n")

    def subjects():
        return sorted(line for text in virtual.messages(address) for line in text.split(b"\n") if line.startswith(b"Subject"))
    deliver("one")
    virtual.wait(lambda: len(subjects()) == 1)
    pids = [process.pid for process in proc.of(virtual.home, "qmail-lspawn") if process.uid == uid]
    before = virtual.log().count(DEFERRED)
    with Death("unlinkat", *pids):
        deliver("two")
        virtual.wait(lambda: virtual.log().count(DEFERRED) > before and len(subjects()) == 2)
    if taken:
        for name in os.listdir(f"{box}/new"):
            os.rename(f"{box}/new/{name}", f"{box}/cur/{name}:2,S")
    deliver("three")
    virtual.wait(lambda: virtual.ctl("doqueue")[0] == 0 and virtual.run("qmail-qread") == "")
    assert subjects() == [b"Subject: one", b"Subject: three", b"Subject: two"]


def test_equal_recipients_stay_as_many_as_they_are(mail, people):
    """In qmail they are deliveries of their own; and so they are when the first of them is made again."""
    person = people()
    send(mail, person, 2, person.address, person.address)
    mail.wait(lambda: copies(person, 2) == 3)
    mail.settled()
    with dying(mail, person, 3, "unlinkat", *warm(mail, person)):
        send(mail, person, 3, person.address)
    mail.finish()
    assert (copies(person, 2), copies(person, 3)) == (3, 2)


def test_messages_with_the_same_number_are_different_ones(mail, people):
    """An inode number is used again as soon as a message is gone."""
    person, used = people(), set()
    for number in range(100):
        send(mail, person, number)
        mail.wait(lambda n=number: copies(person, n))
        mail.settled()
        used = re.findall(r"new msg (\d+)\n", mail.log())
        if number >= 10 and len(set(used)) < len(used):
            break
    assert len(set(used)) < len(used)
    assert [copies(person, n) for n in range(number + 1)] == [1] * (number + 1)
