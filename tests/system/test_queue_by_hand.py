"""Messages are held, released, expired and deleted while the system runs, and nobody else's mail notices."""
import os
import re
import subprocess

import pytest

from tests.peers.ports import free_port

pytestmark = [pytest.mark.root, pytest.mark.system]


@pytest.fixture
def mail(own_mail):
    """Remote deliveries are deferred: what goes to far.example stays in the queue."""
    own_mail.control("smtproutes", f"far.example:127.0.0.1:{free_port()}")
    yield own_mail
    own_mail.ctl("release", "all")
    own_mail.ctl("queue", "delete", "--all", "--yes")
    own_mail.settled()


def queue(mail, *words):
    """(exit code, [lines]) of qmailctl queue."""
    status, output = mail.ctl("queue", *words)
    return status, output.splitlines()


def attempts(mail, number):
    return mail.log().count(f" msg {number} to ")


def stays(mail, sender, recipient):
    """Send a message that is tried once and deferred; its number."""
    before, said = set(mail.queued()), len(mail.log())
    mail.send(sender, recipient)
    [number] = set(mail.queued()) - before

    def deferred():
        found = re.search(rf"starting delivery (\d+): msg {number} to remote", mail.log()[said:])
        return found and f"delivery {found.group(1)}: deferral" in mail.log()[said:]
    mail.wait(deferred)
    return number


def subjects(person):
    return [re.search(rb"^Subject: (.*)", text, re.M).group(1) for text in person.messages()]


def test_each_thing_done_to_a_message(mail, person):
    first, second, third = (stays(mail, sender, "r@far.example") for sender in ("a@x.example", person.address, "c@x.example"))

    status, lines = queue(mail, "list", "--recipient", "*@FAR.example")
    assert status == 0 and len(lines) == 3
    assert re.fullmatch(rf"msg {first}: \d+ bytes from <a@x.example>, \d+s, 1 of 1 recipients left, queued",
                        queue(mail, "list", "--sender", "A@*")[1][0])
    assert queue(mail, "list", "--older", "1d") == (1, [])
    shown = queue(mail, "show", str(third))[1]
    assert "\tremote\tr@far.example" in shown and "Subject: test" in shown
    assert queue(mail, "hold")[0] == queue(mail, "list", "--older", "x", "1")[0] == 100

    # held: no attempt at it, whatever comes, and whoever starts
    assert queue(mail, "hold", "--sender", "a@*") == (0, [f"held {first}"])
    seen = attempts(mail, first)
    mail.restart()
    mail.up()
    mail.doqueue()
    mail.wait(lambda: attempts(mail, third) > 1)
    assert attempts(mail, first) == seen
    assert [line.split()[1].rstrip(":") for line in queue(mail, "list", "--held")[1]] == [str(first)]
    assert queue(mail, "release", "--held") == (0, [f"released {first}"])
    mail.wait(lambda: attempts(mail, first) > seen)

    # deleted: only when that was meant, and then no trace of it
    status, lines = queue(mail, "delete", "--sender", "c@*")
    assert status == 0 and "Nothing was deleted" in lines[-1] and third in mail.queued()
    assert queue(mail, "delete", "--sender", "c@*", "--yes") == (0, [f"deleted {third}"])
    mail.wait(lambda: not [path for path in mail.in_queue() if path.endswith(f"/{third}")])

    # expired: it bounces
    assert queue(mail, "expire", str(second), "--yes") == (0, [f"expired {second}"])
    mail.wait(lambda: subjects(person) == [b"failure notice"])
    assert b"this message has been in the queue too long" in person.messages()[0]
    mail.wait(lambda: mail.queued() == [first])
    assert queue(mail, "delete", str(third), "--yes") == (1, ["no such messages"])
    assert "set aside" not in mail.log()


def test_a_message_under_delivery(mail, person, people):
    """It is left alone as long as that lasts; what was delivered was delivered, and nothing is delivered thereafter."""
    person.file(".qmail", "|echo x >>began; while test ! -e go; do sleep 0.1; done\n./Maildir/\n")
    other = people()
    before = set(mail.queued())
    mail.send(other.address, person.address, "r@far.example")
    [number] = set(mail.queued()) - before
    mail.wait(lambda: os.path.exists(f"{person.home}/began"))

    assert queue(mail, "delete", str(number), "--yes", "--wait", "0") == (
        1, [f"msg {number} is being delivered: it was not deleted"])
    assert queue(mail, "list", "--held") == (1, [])
    waiting = subprocess.Popen([f"{mail.home}/bin/qmailctl", "queue", "delete", str(number), "--yes"],
                               stdout=subprocess.PIPE, text=True)
    mail.wait(lambda: queue(mail, "list", "--held")[1])
    mail.send("s@x.example", other.address)            # others' mail is not held up
    mail.wait(lambda: subjects(other) == [b"test"])
    person.file("go", "")
    assert waiting.communicate(timeout=60)[0] == f"deleted {number}\n"
    mail.settled()
    assert len(person.messages()) == 1 and len(other.messages()) == 1


def test_mail_flows_meanwhile(mail, person):
    """Messages come, are tried and end while others are held, released and deleted over and over: each that
    is not deleted arrives once."""
    queued = {stays(mail, "d@x.example", "r@far.example") for _ in range(3)}
    count = 0
    while queued:
        for _ in range(5):
            mail.send("s@x.example", person.address)
            count += 1
        assert queue(mail, "hold", "--all")[0] in (0, 1)
        mail.send("s@x.example", person.address)
        count += 1
        mail.doqueue()
        assert queue(mail, "release", "--all")[0] == 0
        gone = queued.pop()
        assert queue(mail, "delete", "--sender", "d@*", f"{gone}", "--yes") == (0, [f"deleted {gone}"])
    mail.settled()
    assert len(person.messages()) == count


def test_while_it_is_stopped(mail, person):
    """A message that was not preprocessed yet, and one that was."""
    queued = stays(mail, "a@x.example", "r@far.example")
    [qmail_send] = mail.processes("qmail-send")
    with mail.stopped(qmail_send):
        for sender in ("new@x.example", "kept@x.example"):
            mail.send(sender, person.address)
        mail.kill(*mail.processes("qmailctl"), qmail_send)
    mail.wait(lambda: not mail.processes("qmail-send"))
    assert mail.ctl("stop")[0] == 0
    new, kept = (int(queue(mail, "list", "--sender", f"{who}@*")[1][0].split()[1].rstrip(":")) for who in ("new", "kept"))
    assert queue(mail, "expire", str(new), "--yes") == (1, [f"msg {new} is not preprocessed yet: it was not expired"])
    assert queue(mail, "hold", str(kept)) == (0, [f"held {kept}"])
    assert queue(mail, "delete", str(new), str(queued), "--yes")[1] == [f"deleted {n}" for n in sorted((new, queued))]
    assert not [path for path in mail.in_queue() if path.endswith(f"/{new}")]
    assert mail.ctl("start")[0] == 0
    mail.up()
    mail.wait(lambda: mail.queued() == [kept])
    assert not person.messages()
    assert queue(mail, "release", str(kept)) == (0, [f"released {kept}"])
    mail.settled()
    assert len(person.messages()) == 1
