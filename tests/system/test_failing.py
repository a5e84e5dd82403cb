"""What cannot be delivered: bounces, retries, and the signals and commands an administrator has."""
import os
import re
import signal
import subprocess

import pytest

from tests.peers.ports import free_port
from tests.peers.smtp_host import MAIL, RCPT, TEXT, Host

pytestmark = [pytest.mark.root, pytest.mark.system]


# ---------------------------------------------------------------- for ever

def test_bounce(mail, person):
    mail.unchecked()
    mail.send(person.address, "no-such-user@localhost", text=b"Subject: lost\r\n\r\nwhere am I\r\n")
    [bounce] = mail.wait(person.messages)
    me = open(f"{mail.home}/control/me", encoding="ascii").read().strip().encode()
    head, _, text = bounce.partition(b"\n\n")
    assert head.startswith(b"Return-Path: <>\n")
    assert b"\nFrom: MAILER-DAEMON@" + me + b"\n" in head and f"\nTo: {person.name}@localhost\n".encode() in head
    assert b"\nSubject: failure notice" in head
    assert text.startswith(
        b"Hi. This is the qmail-send program at " + me + b".\n"
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        b"This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        b"<no-such-user@localhost>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
        b"--- Below this line is a copy of the message.\n\n"
        b"Return-Path: <%b@localhost>\nReceived: " % person.name.encode())
    assert text.endswith(b"Subject: lost\n\nwhere am I\n")
    mail.settled()


def test_one_bounce_for_all_failures_and_the_rest_arrives(mail, people):
    sender, reader = people(), people()
    with Host(**{RCPT: b"550 no such user"}) as host:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{host.port}")
        mail.unchecked()
        mail.send(sender.address, "nobody-1@localhost", reader.address, "joe@far.test")
        [bounce], [_] = mail.wait(sender.messages), mail.wait(reader.messages)
        mail.settled()
    assert b"<nobody-1@localhost>:\nSorry, no mailbox here by that name. (#5.1.1)\n" in bounce
    assert (b"<joe@far.test>:\n127.0.0.1 does not like recipient.\nRemote host said: 550 no such user\n"
            b"Giving up on 127.0.0.1.\n") in bounce
    assert len(sender.messages()) == 1


def test_programs_say_why(mail, people):
    sender, reader = people(), people()
    reader.file(".qmail", "|echo I do not like you; exit 100\n")
    mail.send(sender.address, reader.address)
    [bounce] = mail.wait(sender.messages)
    assert f"<{reader.name}@localhost>:\nI do not like you\n\n".encode() in bounce


def test_double_and_triple_bounce(make_system, people):
    """A bounce that cannot be delivered goes to the postmaster; if that fails, too, it ends."""
    postmaster = people()

    def prepare(home):
        with open(f"{home}/control/doublebounceto", "w", encoding="ascii") as f:
            f.write(f"{postmaster.name}\n")
        with open(f"{home}/control/doublebouncehost", "w", encoding="ascii") as f:
            f.write("localhost\n")
    mail = make_system(prepare)
    mail.unchecked()
    mail.send("unknown-sender@localhost", "no-such-user@localhost")
    [bounce] = mail.wait(postmaster.messages)
    assert bounce.startswith(b"Return-Path: <#@[]>\n")
    assert b"I tried to deliver a bounce message to this address, but the bounce bounced!\n\n" in bounce
    assert b"<unknown-sender@localhost>:\nSorry, no mailbox here by that name. (#5.1.1)\n" in bounce
    assert b"\n<no-such-user@localhost>:\n" in bounce
    mail.settled()

    postmaster.file(".qmail", "|exit 100\n")
    mail.send("unknown-sender@localhost", "no-such-user@localhost")
    mail.wait(lambda: "triple bounce: discarding bounce/" in mail.log())
    mail.settled()


# ---------------------------------------------------------------- for now

@pytest.mark.parametrize("step", [MAIL, RCPT, TEXT])
def test_remote_trouble_is_tried_again(mail, person, step):
    with Host(**{step: b"451 not now"}) as host:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{host.port}")
        mail.send(person.address, "joe@far.test")
        [number] = mail.wait(mail.queued)
        mail.wait(lambda: re.search(r"deferral: .*_451_not_now/", mail.log().partition(f"new msg {number}\n")[2]))
        assert mail.queued() == [number] and host.messages == []
        host.mood[step] = b"250 now"
        mail.doqueue()
        mail.settled()
        assert len(host.messages) == 1
    assert person.messages() == []


def test_host_that_is_away(mail, person):
    port = free_port()
    mail.control("smtproutes", f"away.test:[127.0.0.1]:{port}")
    mail.send(person.address, "joe@away.test")
    mail.wait(lambda: "Sorry,_I_wasn't_able_to_establish_an_SMTP_connection._(#4.4.1)/" in mail.log())
    assert len(mail.queued()) == 1
    with Host() as host:
        mail.control("smtproutes", f"away.test:[127.0.0.1]:{host.port}")
        mail.doqueue()
        mail.settled()
        assert len(host.messages) == 1


def test_home_in_change(mail, person):
    """A sticky home says: not now."""
    mail.unchecked()
    os.chmod(person.home, 0o1755)
    mail.send("s@a.example", person.address)
    mail.wait(lambda: "deferral: Home_directory_is_sticky:_user_is_editing_his_.qmail_file._(#4.2.1)/" in mail.log())
    assert person.messages() == [] and len(mail.queued()) == 1
    os.chmod(person.home, 0o755)
    mail.doqueue()
    mail.wait(person.messages)
    mail.settled()


def test_missing_maildir_waits(mail, person):
    os.rename(f"{person.home}/Maildir", f"{person.home}/Away")
    mail.send("s@a.example", person.address)
    mail.wait(lambda: "deferral: Unable_to_chdir_to_maildir._(#4.2.1)/" in mail.log())
    os.rename(f"{person.home}/Away", f"{person.home}/Maildir")
    mail.doqueue()
    mail.wait(person.messages)
    mail.settled()


# ---------------------------------------------------------------- signals and commands

def test_stop_waits_for_deliveries(make_system, people):
    """TERM while a delivery is running: it is finished, and nothing is done twice."""
    person, late = people(), people()
    person.file(".qmail", "|touch started; while ! test -e go; do sleep 0.05; done\n./Maildir/\n")
    mail = make_system()
    mail.send("s@a.example", person.address)
    mail.wait(lambda: os.path.exists(f"{person.home}/started"))
    sender = mail.pid("send")
    os.kill(sender, signal.SIGTERM)
    mail.send("s@a.example", late.address)          # is taken all the same
    assert os.path.exists(f"/proc/{sender}") and late.messages() == []
    person.file("go", "")
    [message] = mail.wait(person.messages)
    mail.wait(late.messages)                # by the qmail-send that the supervisor started
    mail.settled()
    assert len(person.messages()) == len(late.messages()) == 1
    assert "status: exiting\n" in mail.log()


def test_hup_rereads_locals(mail, person):
    mail.control("rcpthosts", "new.test\nlocalhost")
    with Host() as host:
        mail.control("smtproutes", f"new.test:[127.0.0.1]:{host.port}")
        mail.send("s@a.example", f"{person.name}@new.test")
        mail.settled()
        assert len(host.messages) == 1 and person.messages() == []
        mail.control("locals", "localhost\nnew.test")
        mail.reload()
        mail.send("s@a.example", f"{person.name}@new.test")
        mail.settled()
        assert len(host.messages) == 1
    assert len(person.messages()) == 1


def test_looking_at_the_queue(mail, person):
    mail.unchecked()
    os.chmod(person.home, 0o1755)
    mail.send("s@a.example", person.address)
    [number] = mail.wait(mail.queued)
    mail.wait(lambda: re.search(rf"new msg {number}\n[^$]*deferral: Home_directory_is_sticky", mail.log()))
    status, text = mail.ctl("queue")
    assert status == 0 and text.startswith("messages in queue: 1\nmessages in queue but not yet preprocessed: 0\n")
    assert re.search(rf"\n\d{{1,2}} [A-Z][a-z]{{2}} \d{{4}} \d\d:\d\d:\d\d GMT  #{number}  \d+  <s@a.example>\s*\n"
                     rf"\tlocal\t{person.address}\n", text)
    status, text = mail.ctl("stat")
    assert status == 0
    assert re.fullmatch("".join(rf"{name}: up \(pid \d+\) \d+ seconds\n" for name in ("send", "smtpd", "pop3d"))
                        + "messages in queue: 1\nmessages in queue but not yet preprocessed: 0\n", text)
    done = subprocess.run([f"{mail.home}/bin/sendmail", "-bp"], capture_output=True)
    assert done.returncode == 0 and b"#%d  " % number in done.stdout
    os.chmod(person.home, 0o755)
    mail.doqueue()
    mail.settled()
    mail.wait(person.messages)


def test_pause_and_continue(mail, person):
    assert mail.ctl("pause") == (0, "")
    try:
        assert mail.ctl("stat")[1].count(", paused") == 4
        done = mail.sendmail(person, person.name)               # the queue takes mail all the same
        assert done.returncode == 0 and person.messages() == []
    finally:
        assert mail.ctl("cont") == (0, "")
    mail.wait(person.messages)
    assert ", paused" not in mail.ctl("stat")[1]
    mail.send("s@a.example", person.address)


def test_rules_count_as_soon_as_they_are_compiled(mail):
    mail.control("tcp.smtp", '127.:allow,DATABYTES="10"\n:allow')
    assert mail.ctl("cdb") == (0, f"compiled {mail.home}/control/tcp.smtp\n")
    assert mail.answer("s@a.example", "postmaster@localhost")[0] == 552


def test_doctor(mail):
    assert mail.ctl("doctor") == (0, "all is as it should be\n")
    os.chmod(f"{mail.home}/queue/lock/sendmutex", 0o644)
    try:
        assert mail.ctl("doctor") == (1, f"{mail.home}/queue/lock/sendmutex has mode 0644, should be 0600\n")
    finally:
        os.chmod(f"{mail.home}/queue/lock/sendmutex", 0o600)
