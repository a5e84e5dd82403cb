"""`qmailctl doctor --repair`: a queue with messages in every state, copied file by file and then broken, is mended,
and every message arrives exactly once."""
import os
import re
import shutil
import subprocess

import pytest

pytestmark = [pytest.mark.root, pytest.mark.system]


def text(word):
    return f"Subject: {word}\r\n\r\nx\r\n".encode()


def subjects(person):
    return sorted(re.search(rb"^Subject: (.*)", message, re.M).group(1).decode() for message in person.messages())


def stop_short(mail):
    """As if the machine had been switched off."""
    mail.kill(*mail.processes("qmailctl"))
    mail.kill(*mail.processes())
    mail.wait(lambda: not mail.processes())
    mail.ctl("stop")


def copied(mail):
    """The queue is another directory's now, and no file is the inode that it was."""
    queue = f"{mail.home}/queue"
    subprocess.run(["cp", "-a", queue, f"{queue}.copy"], check=True)
    shutil.rmtree(queue)
    os.rename(f"{queue}.copy", queue)


def broken(mail):
    """Owners, modes, places, and what is missing."""
    queue = f"{mail.home}/queue"
    for number in mail.queued():
        os.rename(f"{queue}/mess/{number % 23}/{number}", f"{queue}/mess/{(number + 1) % 23}/{number}")
    for where, directories, files in os.walk(queue):
        for name in files:
            if "/lock" not in where:
                os.chown(f"{where}/{name}", 0, 0)
                os.chmod(f"{where}/{name}", 0o640)
    for gone in ("lock/trigger", "lock/sendmutex"):
        os.unlink(f"{queue}/{gone}")
    for n in range(23):
        if not os.listdir(f"{queue}/remote/{n}"):
            os.rmdir(f"{queue}/remote/{n}")
    os.chmod(f"{queue}/todo", 0o777)
    os.chown(f"{queue}/info", 0, 0)


def test_repair(own_mail, people):
    mail, person, sender, refusing = own_mail, people(), people(), people()
    assert mail.ctl("doctor", "--repair")[0] == 111          # not while it runs

    # one that waits, one that bounced in part and waits, three that nobody has looked at
    person.file(".qmail", "|test -e go || exit 111\n./Maildir/\n")
    refusing.file(".qmail", "|exit 100\n")
    mail.send(sender.address, person.address, text=text("waiting"))
    mail.send(sender.address, person.address, refusing.address, text=text("bouncing"))
    mail.wait(lambda: mail.log().count("deferral") >= 2 and any(os.scandir(f"{mail.home}/queue/bounce")))
    [qmail_send] = mail.processes("qmail-send")
    with mail.stopped(qmail_send):
        for turn in range(3):
            mail.send(sender.address, person.address, text=text(f"new{turn}"))
        held = next(number for number in mail.queued() if b"Subject: waiting" in message(mail, number))
        mail.kill(*mail.processes("qmailctl"), qmail_send)
    stop_short(mail)
    assert mail.ctl("queue", "hold", str(held))[0] == 0
    copied(mail)
    broken(mail)
    half = f"{mail.home}/queue/mess/3/{3 + 23 * 1000}"
    with open(half, "wb") as f:
        f.write(b"half a message")

    assert mail.ctl("doctor")[0] == 1
    status, told = mail.ctl("doctor", "--repair")
    assert status == 0 and told.endswith("all is as it should be\n"), told
    assert told.count("is now msg") == 5 and len(mail.queued()) == 5
    [aside] = os.listdir(f"{mail.home}/queue/aside")
    assert os.listdir(f"{mail.home}/queue/aside/{aside}") == [f"mess.3.{3 + 23 * 1000}"]
    assert mail.ctl("doctor", "--repair") == (0, "all is as it should be\n")

    person.file("go", "")
    assert mail.ctl("start")[0] == 0
    mail.up()
    mail.wait(lambda: len(mail.queued()) == 1)
    assert subjects(person) == ["bouncing", "new0", "new1", "new2"] and subjects(sender) == ["failure notice"]
    assert mail.ctl("release", "all")[0] == 0               # held still, under its new number
    mail.wait(lambda: not mail.queued())
    assert subjects(person) == ["bouncing", "new0", "new1", "new2", "waiting"]
    assert mail.ctl("doctor") == (0, "all is as it should be\n")
    shutil.rmtree(f"{mail.home}/queue/aside")


def message(mail, number):
    with open(f"{mail.home}/queue/mess/{number % 23}/{number}", "rb") as f:
        return f.read()


def test_not_while_somebody_writes(own_mail):
    """A qmail-queue that was started before, and one that is started meanwhile, lose nothing."""
    mail = own_mail
    assert mail.ctl("stop")[0] == 0
    with open(f"{mail.home}/queue/mess/0/0", "wb"):
        status, told = mail.ctl("doctor", "--repair")
    assert status == 111 and "is at work in the queue" in told and os.path.isdir(f"{mail.home}/queue/pid")
    os.rename(f"{mail.home}/queue/pid", f"{mail.home}/queue/pid.away")         # broken off
    assert mail.ctl("doctor", "--repair")[0] == 0 and not os.path.exists(f"{mail.home}/queue/pid.away")
    assert mail.ctl("start")[0] == 0
