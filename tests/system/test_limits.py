"""What a process does that may have no more memory or descriptors: it has a temporary trouble, and nothing is lost."""
import collections
import os
import re
import resource
import smtplib

import pytest

from pyqmail.base import child, limits
from tests.peers.roles import by_role
from tests.peers.smtp_host import Host

pytestmark = [pytest.mark.root, pytest.mark.system]

PROGRAMS = {"qmail-send": "qmail-send", "qmail-rspawn": "qmail-rspawn", "resolver": "qmail-lspawn look-ups",
            "qmail-clean": "qmail-clean", "guardian": "qmail-queue", "service": "qmail-queue", "qmail-log": "qmail-log",
            "smtpworker": "qmail-smtpd", "popworker": "qmail-popup", "rcptfront": "qmail-rcptcheck"}
ROUNDS = 3


def test_they_are_in_force(mail, person):
    """As /proc tells, of processes that have got that far."""
    mail.send("s@a.example", person.address)        # somebody is looked up
    mail.wait(person.messages)

    def found(pid):
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            lines = {line[:26].strip(): line[26:].split()[:2] for line in f}
        return [lines[name] for name in ("Max data size", "Max processes", "Max core file size")]

    def as_it_should_be():
        kinds = by_role(mail.processes())
        ask = collections.defaultdict(list)
        for role, program in PROGRAMS.items():
            memory, processes = limits.TABLE[program]
            for process in kinds[role]:
                ask[role].append(all(most is None or all(limit.isdigit() and int(limit) <= most for limit in seen)
                                     for seen, most in zip(found(process.pid), (memory, processes, 0))))
        return len(ask) == len(PROGRAMS) and all(all(answers) for answers in ask.values())
    mail.wait(as_it_should_be)


@pytest.mark.parametrize("role, which", [("smtpworker", resource.RLIMIT_DATA), ("service", resource.RLIMIT_DATA)])
def test_no_more_than_it_has(own_mail, people, role, which):
    """Mail to a user and to another host, meanwhile and afterwards: what got its 250 arrives once."""
    mail, person = own_mail, people()
    with Host() as host:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{host.port}")
        mail.control("tcp.smtp", '127.:allow,RELAYCLIENT=""')
        mail.ctl("cdb")
        mail.reload()
        mail.send("s@a.example", person.address, text=subject("first"))
        mail.wait(person.messages)
        processes = by_role(mail.processes())[role]
        accepted = set()
        before = {process: limited(process, which, size(process.pid, which)) for process in processes}
        accepted |= {name for name in (f"meanwhile {number}" for number in range(ROUNDS))
                     if taken(mail, person.address, name)}
        for process, soft in before.items():
            limited(process, which, soft)
        mail.up()
        mail.wait(lambda: taken(mail, person.address, "afterwards"))
        accepted.add("afterwards")

        def arrived():
            mail.doqueue()
            return accepted <= names(person.messages()) & names(text for _, _, text in host.messages)
        mail.wait(arrived)
        assert max(collections.Counter(re.findall(b"Subject: (.*?)\r?\n", b"".join(person.messages()))).values()) == 1


def limited(process, which, soft):
    """Set its soft limit; returns the old one. As its own user: root may not everywhere."""
    def work():
        os.setgroups([])
        os.setresgid(*process.gids[:3])
        os.setresuid(*process.uids[:3])
        try:
            old, hard = resource.prlimit(process.pid, which)
            resource.prlimit(process.pid, which, (soft if hard < 0 or 0 <= soft < hard else hard, hard))
        except ProcessLookupError:
            old = 0                     # it was given up, and another one is there
        return b"%d" % old
    status, old = child.result_of(work, 100)
    assert status == 0
    return int(old)


def size(pid, which):
    """What it has just now."""
    if which == resource.RLIMIT_NOFILE:
        return max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmData:"))


def subject(name):
    return f"Subject: {name}\r\n\r\n{'x' * 70}\r\n" + ("y" * 70 + "\r\n") * 3000


def taken(mail, address, name):
    """True if the message got its 250; every other answer is a temporary one, or none at all."""
    try:
        with smtplib.SMTP("127.0.0.1", mail.system.smtp, timeout=60) as smtp:
            smtp.sendmail("s@a.example", [address, "joe@far.test"], subject(name))
        return True
    except smtplib.SMTPResponseException as why:
        assert 400 <= why.smtp_code < 500, why
    except smtplib.SMTPRecipientsRefused as why:
        assert all(400 <= code < 500 for code, _ in why.recipients.values()), why
    except (smtplib.SMTPServerDisconnected, OSError):
        pass
    return False


def names(texts):
    return {match.decode() for text in texts for match in re.findall(b"Subject: (.*?)\r?\n", text)}
