"""Processes killed under load, one after the other: every message that got its 250 arrives."""
import random

import pytest

from tests.peers.load import Load, numbers
from tests.peers.smtp_host import Host

pytestmark = [pytest.mark.root, pytest.mark.system]


@pytest.fixture
def mail(own_mail):
    return own_mail


ALONE = ("qmailctl",)               # nobody is there to start it again
VICTIMS = {
    "qmail-send": lambda mail: mail.processes("qmail-send"),
    "qmail-lspawn": lambda mail: [process for process in mail.processes("qmail-lspawn") if process.uid == 0],
    "the look-ups": lambda mail: [process for process in mail.workers("qmail-lspawn") if process.parent != 1][:1],
    "warm qmail-local": lambda mail: [process for process in mail.workers("qmail-lspawn")][-1:],
    "qmail-rspawn": lambda mail: mail.processes("qmail-rspawn"),
    "qmail-clean": lambda mail: mail.processes("qmail-clean"),
    "queue worker": lambda mail: mail.service()[1:],
    "queue guardian": lambda mail: mail.service()[:1],
    "the queue service": lambda mail: mail.service(),
    "an SMTP worker": lambda mail: mail.workers("qmail-smtpd")[:1],
    "qmail-smtpd": lambda mail: mail.processes("qmail-smtpd")[:1],
    "the loggers": lambda mail: mail.processes("qmail-log"),
    "anybody": lambda mail: random.sample([process for process in mail.processes() if process.program not in ALONE], 3),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_under_load(mail, people, victim):
    """Every message that got its 250 is delivered, whoever dies when."""
    person = people()
    with Host() as host:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{host.port}")
        mail.control("tcp.smtp", '127.:allow,RELAYCLIENT=""')
        with Load(mail, person.address, "joe@far.test") as load:
            for _ in range(2):
                load.more(10)
                mail.kill(*VICTIMS[victim](mail))
                load.more(10)
        mail.up()
    
        def all_here():
            mail.doqueue()
            return load.accepted <= numbers(person.messages()) | numbers(text for _, _, text in host.messages)
        mail.wait(all_here, 60)
        mail.finish()
    assert len(load.accepted) >= 40


def test_everything_killed_at_once_and_started_again(mail, people):
    """A crash of the whole: what is in the queue goes on from there."""
    person = people()
    with Load(mail, person.address, person.address) as load:
        load.more(10)
        mail.kill(*mail.processes("qmailctl"), *mail.processes())
        mail.kill(*mail.processes())
        assert mail.ctl("start")[0] == 0
        load.more(10)
    mail.wait(lambda: load.accepted <= numbers(person.messages()), 60)
    mail.finish()
