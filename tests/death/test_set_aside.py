"""A message that everybody dies of who takes it in hand is set aside, and everybody else's mail goes on."""
import os
import re
import signal

import pytest

from tests.death.watch import Trace
from tests.peers.smtp_host import Host
from tests.system.conftest import make_system, own, own_mail, people, person     # noqa: F401

pytestmark = [pytest.mark.root, pytest.mark.system]

HARMLESS = b"Subject: harmless\r\n\r\nx\r\n"
DEADLY = b"Subject: deadly\r\n\r\nx\r\n"


def deadly(mail, pattern):
    """Whoever is started from now on dies at this call."""
    supervisors = [process.pid for process in mail.processes("qmailctl")]
    return Trace(supervisors, "--new", "--every", "--call", pattern)


def arrived(person, subject):       # noqa: F811
    return sum(f"Subject: {subject}".encode() in text for text in person.messages())


def set_aside(mail, number, who):
    """Three deaths, the second and third told, and then no more."""
    mail.wait(lambda: f"alert: msg {number} is set aside: it was in hand when {who} died, 3 times" in mail.log(), 90)
    assert f"warning: msg {number} was in hand when {who} died, 2 of 3 times\n" in mail.log()
    mail.up()
    assert re.search(rf"^msg {number} is set aside, {who} died of it", mail.ctl("queue")[1], re.M)


def release(mail, number):
    """By number; what is not set aside cannot be released."""
    assert mail.ctl("release", str(number)) == (0, f"released {number}\n")
    assert mail.ctl("release", "all") == (1, "nothing was released\n")
    assert "set aside" not in mail.ctl("queue")[1]


def test_qmail_send_dies_of_it(own_mail, person):       # noqa: F811
    mail = own_mail
    before = set(mail.queued())
    [qmail_send] = mail.processes("qmail-send")
    with mail.stopped(qmail_send):
        mail.send("s@a.example", person.address, text=DEADLY)
        [number] = set(mail.queued()) - before
        for _ in range(3):
            mail.send("s@a.example", person.address, text=HARMLESS)
        with deadly(mail, f"openat todo/{number}$"):
            mail.kill(qmail_send)
            set_aside(mail, number, "qmail-send")
            mail.wait(lambda: arrived(person, "harmless") == 3)
            mail.send("s@a.example", person.address, text=HARMLESS)
            mail.wait(lambda: arrived(person, "harmless") == 4)
            mail.doqueue()
        assert arrived(person, "deadly") == 0 and os.path.exists(f"{mail.home}/queue/todo/{number}")
    release(mail, number)
    mail.wait(lambda: arrived(person, "deadly") == 1)
    mail.settled()


def test_qmail_rspawn_dies_of_it(own_mail, person):     # noqa: F811
    mail = own_mail
    with Host() as host:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{host.port}")
        mail.control("tcp.smtp", '127.:allow,RELAYCLIENT=""')
        mail.ctl("cdb")
        mail.reload()
        [rspawn] = mail.workers("qmail-rspawn")
        before = set(mail.queued())
        with mail.stopped(rspawn):
            mail.send("s@a.example", "deadly@far.test", text=DEADLY)
            [number] = mail.wait(lambda: set(mail.queued()) - before)
            mail.wait(lambda: f"msg {number} to remote deadly@far.test" in mail.log())
            with deadly(mail, f"^openat {number % 23}/{number}$"):
                os.kill(rspawn.pid, signal.SIGKILL)
                set_aside(mail, number, "qmail-rspawn")
                mail.send("s@a.example", "harmless@far.test", text=HARMLESS)
                mail.wait(lambda: any(b"harmless" in text for _, _, text in host.messages))
        assert not any(b"deadly" in text for _, _, text in host.messages)
        release(mail, number)
        mail.wait(lambda: any(b"deadly" in text for _, _, text in host.messages))
        mail.settled()
