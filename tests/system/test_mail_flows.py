"""The whole system as a new user meets it: SMTP and sendmail in, Maildir and POP3 out, bounces back."""
import poplib
import re
import smtplib
import subprocess

import pytest

pytestmark = [pytest.mark.root, pytest.mark.system]


def pop(system, person):
    mailbox = poplib.POP3("127.0.0.1", system.pop3, timeout=60)
    mailbox.user(person.name)
    mailbox.pass_(person.password)
    return mailbox


def send(system, sender, recipient, text):
    with smtplib.SMTP("127.0.0.1", system.smtp, timeout=60) as smtp:
        smtp.sendmail(sender, [recipient], text)


def test_smtp_to_maildir_to_pop3(system, person):
    send(system, "s@a.example", f"{person.name}@localhost", "Subject: by smtp\r\n\r\nhello\r\n")
    system.wait(lambda: pop(system, person).stat()[0])      # a message shows from the second after its arrival
    mailbox = pop(system, person)
    count, _ = mailbox.stat()
    text = b"\n".join(mailbox.retr(1)[1])
    mailbox.dele(1)
    mailbox.quit()
    assert count == 1
    assert text.startswith(b"Return-Path: <s@a.example>\nDelivered-To: %b@localhost\n" % person.name.encode())
    assert text.endswith(b"Subject: by smtp\n\nhello\n")     # qmail-pop3d adds an empty line
    assert person.messages() == []


def test_sendmail_to_maildir(system, person):
    done = subprocess.run(["runuser", "-u", person.name, "--", f"{system.home}/bin/sendmail", person.name],
                          input=b"Subject: by hand\n\nhello\n", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    [message] = system.wait(person.messages)
    assert b"\nSubject: by hand\n" in message and b"\nFrom: " in message and b"\nMessage-ID: " in message


def test_unknown_user_bounces(system, person):
    subprocess.run([f"{system.home}/bin/sendmail", f"-f{person.name}@localhost", "nobody-here-at-all@localhost"],
                   input=b"Subject: lost\n\nhello\n", check=True)
    [bounce] = system.wait(person.messages)
    assert bounce.startswith(b"Return-Path: <>\n")
    assert re.search(rb"<nobody-here-at-all@localhost\S*>:\nSorry, no mailbox here by that name. \(#5.1.1\)\n", bounce)


def test_no_relay_for_strangers_without_the_rule(system):
    """Loopback may relay by the rules that the installer writes; rcpthosts stands for everybody else."""
    with open(f"{system.home}/control/rcpthosts", encoding="ascii") as f:
        assert "localhost\n" in f.read()
    with open(f"{system.home}/control/tcp.smtp", encoding="ascii") as f:
        assert f.read().endswith("\n:allow\n")


def test_wrong_password(system, person):
    mailbox = poplib.POP3("127.0.0.1", system.pop3, timeout=60)
    mailbox.user(person.name)
    with pytest.raises(poplib.error_proto):
        mailbox.pass_("wrong")
