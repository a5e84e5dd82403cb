"""What each process can do, tried by each: it is what tests/privileges/promised.py says, cell by cell."""
import os
import smtplib
import socket
import subprocess

import pytest

from pyqmail.base import limits, sandbox
from pyqmail.install import hier
from tests.conftest import ROOT
from tests.peers.roles import gid, uid
from tests.privileges import promised

pytestmark = pytest.mark.system


def test_the_document_is_the_table():
    """tests/privileges/generate makes it."""
    with open(os.path.join(ROOT, "doc", "PRIVILEGES.md"), encoding="utf-8") as f:
        assert f.read() == promised.text()


def test_every_program_has_its_place():
    """A row of its own, or a row with others of its kind."""
    rows = {name.split(",")[0].split()[0] for name in promised.ROLES}
    told = {*rows, *promised.OF_A_LINE, *promised.OF_CALLERS} - {"a"}
    assert told == {name for names in hier.PROGRAMS.values() for name in names}


def test_who_is_told_together_can_do_the_same():
    for roles in promised.TOLD_TOGETHER.values():
        assert len({promised.UID[role] for role in roles}) == 1
        assert all(promised.ROLES[role] == promised.ROLES[roles[0]] for role in roles)


@pytest.mark.root
def test_everything_was_tried(measured):
    assert set(measured) == set(promised.ROLES)
    for role, found in measured.items():
        assert set(found) == {*promised.TARGETS, *(f"process {other}" for other in promised.ROLES)}, role


@pytest.mark.root
def test_nobody_can_do_anything_else(measured, anybody):
    """Where the kernel gives nobody what depends on it, our processes need not have it either; where it has not all
    that confines them, they have no more than their uids give."""
    differing, missing = [], sandbox.missing()
    for role, found in measured.items():
        for target, letters in found.items():
            expected = promised.letters(role, target)
            most = promised.letters(role, target, promised.BY_UID) if missing else expected
            least = "" if target in promised.DEPENDS and target not in anybody else expected
            if set(least) <= set(letters) <= set(most):
                continue
            differing.append(f"{role}: {target}: {letters or 'nothing'}, and not {expected or 'nothing'}")
    assert not differing, "\n".join(differing)


@pytest.mark.root
def test_limits_are_in_force(measured, place):
    assert set(promised.LIMITED) == set(limits.TABLE)
    for program, roles in promised.LIMITED.items():
        for role in roles:
            for most, here in zip((*limits.TABLE[program], 0), place.limits[role]):
                assert most is None or here is not None and here <= most, role


@pytest.mark.root
def test_mail_flows_where_it_was_tried(measured, place):
    """What is around the processes is not in their way."""
    before = len(place.other.messages())
    with smtplib.SMTP("127.0.0.1", place.mail.smtp, timeout=60) as smtp:
        smtp.sendmail("s@a.example", [f"{place.other.name}@localhost", place.joe], "Subject: y\r\n\r\ny\r\n")
    place.mail.wait(lambda: len(place.other.messages()) > before and len(place.mail.messages(place.joe)) > 1)


# ---------------------------------------------------------------- what is around them is not in the way of their work

def converse(place, program, said, who, *words, **environ):
    """What a program that serves one connection answers to these bytes; to tuples of them, one after the other, each
    but the first when the answer so far ends with a line that begins with 3."""
    ours, theirs = socket.socketpair()
    environ = {"PATH": f"{place.home}/bin:/usr/bin:/bin", "TCPREMOTEIP": "127.0.0.9", "RELAYCLIENT": "", **environ}
    with ours, theirs:
        process = subprocess.Popen([f"{place.home}/bin/{program}", *words], stdin=theirs, stdout=theirs, env=environ,
                                   user=who[0], group=who[1], extra_groups=[who[1]], cwd=words and place.user.home or "/")
        theirs.close()
        ours.settimeout(120)
        *first, last = said if isinstance(said, tuple) else (said,)
        answer = b""
        for piece in first:
            ours.sendall(piece)
            while b"\n3" not in answer:
                assert (data := ours.recv(65536)), answer
                answer += data
        ours.sendall(last)
        ours.shutdown(socket.SHUT_WR)
        while data := ours.recv(65536):
            answer += data
    process.wait()
    return answer


def string(data):
    return b"%d:%b," % (len(data), data)


def sessions(recipient):
    """(program, what a client of one message says, how the answer begins that is taken for success)"""
    text = b"Subject: one connection\n\nx\n"
    packet = [string(text), string(b"s@a.example"), string(recipient)]
    smtp = (b"HELO a\r\nMAIL FROM:<s@a.example>\r\nRCPT TO:<%b>\r\nDATA\r\n" % recipient,
            text.replace(b"\n", b"\r\n") + b".\r\nQUIT\r\n")
    return [("qmail-smtpd", smtp, b"250 ok "),
            ("qmail-qmtpd", string(b"\n" + text) + packet[1] + string(packet[2]), b":Kok "),
            ("qmail-qmqpd", string(b"".join(packet)), b":Kok ")]


@pytest.fixture
def qmaild():
    return uid("qmaild"), gid("nofiles")


@pytest.mark.root
def test_programs_of_one_connection(place, qmaild):
    """Control files in another place, too."""
    recipient, before = f"{place.other.name}@localhost".encode(), len(place.other.messages())
    for program, said, success in sessions(recipient):
        assert success in converse(place, program, said, qmaild), program
    elsewhere = f"{place.home}.control"
    os.rename(f"{place.home}/control", elsewhere)
    os.symlink(elsewhere, f"{place.home}/control")
    try:
        program, said, success = sessions(recipient)[0]
        assert success in converse(place, program, said, qmaild)
    finally:
        os.unlink(f"{place.home}/control")
        os.rename(elsewhere, f"{place.home}/control")
    place.mail.wait(lambda: len(place.other.messages()) >= before + 4, 120)


@pytest.mark.root
def test_a_queue_program_in_place_of_ours_has_what_qmaild_has(place, qmaild):
    program, seen = f"{place.home}.queue", f"{place.home}.seen"
    with open(program, "w", encoding="ascii") as f:
        f.write(f'#!/bin/sh\n/usr/bin/env true && cat > /dev/null && /bin/cat <&1 >> "{seen}"\n')
        os.fchmod(f.fileno(), 0o755)
    for name, said, success in sessions(b"r@a.example"):
        with open(seen, "wb") as f:
            os.fchmod(f.fileno(), 0o666)
        assert success in converse(place, name, said, qmaild, QMAILQUEUE=program), name
        with open(seen, "rb") as f:
            assert f.read() == b"Fs@a.example\0Tr@a.example\0\0", name


@pytest.mark.root
def test_qmail_remote_by_itself(place):
    with open(f"{place.home}/control/smtproutes", "a", encoding="ascii") as f:
        f.write(f"near.test:127.0.0.1:{place.mail.smtp}\n")
    done = subprocess.run([f"{place.home}/bin/qmail-remote", "near.test", "s@a.example", f"{place.other.name}@localhost"],
                          input=b"Subject: z\n\nz\n", capture_output=True, user=uid("qmailr"), group=gid("qmail"),
                          extra_groups=[gid("qmail")], timeout=120)
    assert done.stdout.startswith(b"r\0K127.0.0.1 accepted message"), done


@pytest.mark.root
def test_a_mailbox_in_another_place(place):
    who = place.user.uid, os.stat(place.user.home).st_gid
    elsewhere = f"{place.home}.mail"
    for path in (elsewhere, *(f"{elsewhere}/{part}" for part in ("new", "cur", "tmp"))):
        os.mkdir(path, 0o700)
        os.chown(path, *who)
    os.symlink(elsewhere, f"{place.user.home}/Linked")
    with open(f"{elsewhere}/new/1.a.b", "wb") as f:
        f.write(b"text\n")
        os.fchown(f.fileno(), *who)
    os.utime(f"{elsewhere}/new/1.a.b", (1, 1))      # what came this very second is not shown yet
    answer = converse(place, "qmail-pop3d", b"STAT\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n", who, "Linked")
    assert b"\r\n+OK 1 5\r\n" in answer and not os.listdir(f"{elsewhere}/new"), answer
