"""boot/ as it is, with the programs of Debian that its files name for users without .qmail: dot-forward, procmail."""
import contextlib
import os

import pytest

from tests.thirdparty.conftest import HOME, tool

pytestmark = [pytest.mark.root, pytest.mark.system]


@pytest.fixture(scope="module")
def booted(place):
    """booted(name): an installation that boot/NAME has started."""
    with contextlib.ExitStack() as stack:
        def boot(name):
            host = place()
            stack.enter_context(host.daemon(f"{HOME}/boot/{name}", ready=lambda: host.processes("qmail-clean")))
            return host
        yield boot


def send(host, sender, *recipients):
    done = host.run("/usr/sbin/sendmail", "-f", "me@a.example", *(person.name for person in recipients), user=sender,
                    input=b"Subject: x\n\nhello\n")
    assert done.returncode == 0, done


def test_proc_df(booted, people):
    """~/.forward, then procmail's rules, then the system mailbox: procmail may write it, being a set-id program."""
    tool("dot-forward"), tool("procmail")
    host, forwards, sorts, plain, other = booted("proc+df"), people(), people(), people(), people()
    forwards.file(".forward", f"{other.name}\n")
    sorts.file(".procmailrc", "DEFAULT=$HOME/Maildir/\n")
    other.file(".qmail", "./Maildir/\n")
    send(host, plain, forwards, sorts, plain)
    for reader in (other, sorts):
        [message] = host.wait(reader.messages)
        assert b"\nSubject: x\n" in message and b"\nDelivered-To: " in message
    spool = f"/var/mail/{plain.name}"
    host.wait(lambda: os.path.exists(spool) and host.read(spool).endswith(b"\n\nhello\n\n"))
    assert host.read(spool).startswith(b"From me@a.example ") and os.stat(spool).st_uid == plain.uid
    os.unlink(spool)
    host.wait(lambda: not host.in_queue())
    assert not forwards.messages()


@pytest.mark.parametrize("name", ["home", "home+df"])
def test_home(booted, people, name):
    """~/Mailbox, which Debian's readers of mbox files read."""
    host, person = booted(name), people()
    send(host, person, person)
    mailbox = f"{person.home}/Mailbox"
    host.wait(lambda: os.path.exists(mailbox) and host.read(mailbox).endswith(b"\nhello\n\n"))
    done = host.run(tool("s-nail"), "-n", "-N", "-H", "-f", mailbox, user=person)
    assert done.returncode == 0 and b"me@a.example" in done.stdout and done.stdout.count(b"\n") == 1, done
    done = host.run(tool("formail", "procmail"), "-s", "sh", "-c", "grep -c ^Subject:", input=host.read(mailbox))
    assert done.stdout == b"1\n"
