"""Programs missing, files unreadable, no descriptors, slow clients: what was accepted arrives, the rest must wait."""
import os
import poplib
import re
import smtplib
import socket
import subprocess
import threading
import time

import pytest

from tests.peers.smtp_host import Host

pytestmark = [pytest.mark.root, pytest.mark.system]

QUEUE_TROUBLE = 451, b"qq trouble creating files in queue (#4.3.0)"


@pytest.fixture
def mail(own_mail):
    return own_mail


# ---------------------------------------------------------------- the queue service

def test_service_away(mail, person):
    """No way into the queue: 4xx by SMTP, a temporary exit code by hand, and the reason; afterwards as before."""
    with mail.renamed_away("run/qmail-queue/socket"):
        assert mail.answer("s@a.example", person.address) == QUEUE_TROUBLE
        done = mail.sendmail(person, person.name)
        assert done.returncode == 111
        assert done.stderr == b"qmail-inject: fatal: qq trouble creating files in queue (#4.3.0)\n"
        assert mail.sendmail(person, program="qmail-queue", text=b"").returncode == 62
    line = "qmail-smtpd: warning: message not queued: qq trouble creating files in queue (#4.3.0)\n"
    mail.wait(lambda: line in mail.log("smtpd"))
    assert person.messages() == [] and mail.queued() == []
    mail.send("s@a.example", person.address)
    mail.wait(person.messages)


def test_root_needs_no_service(mail, person):
    with mail.renamed_away("run/qmail-queue/socket"):
        done = subprocess.run([f"{mail.home}/bin/sendmail", person.name], input=b"Subject: by root\n\nx\n")
        assert done.returncode == 0
    mail.wait(person.messages)


def test_service_that_hangs(mail, person):
    """It costs those who wait for it, and nobody else: others may connect, talk and leave."""
    with mail.stopped(*mail.service()):
        answers = []
        waiting = [threading.Thread(target=lambda: answers.append(mail.answer("s@a.example", person.address)))
                   for _ in range(3)]
        for thread in waiting:
            thread.start()
        for _ in range(5):
            with mail.smtp() as smtp:
                assert {smtp.ehlo()[0], smtp.mail("s@a.example")[0], smtp.rcpt("joe@far.test")[0]} == {250}
        assert answers == []
    for thread in waiting:
        thread.join()
    assert [code for code, _ in answers] == [250] * 3
    mail.wait(lambda: len(person.messages()) == 3)


# ---------------------------------------------------------------- programs that are missing

def test_no_qmail_remote(mail, person):
    with Host() as host:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{host.port}")
        with mail.renamed_away("bin/qmail-remote"):
            mail.send(person.address, "joe@far.test")
            mail.wait(lambda: host.messages or "deferral: " in mail.log())
            assert person.messages() == []
        mail.finish()
        assert len(host.messages) == 1 and person.messages() == []


def test_no_qmail_local(mail, people):
    sender, program, plain = people(), people(), people()
    program.file(".qmail", "|cat > got\n./Maildir/\n")
    with mail.renamed_away("bin/qmail-local"):
        mail.send(sender.address, program.address, plain.address)
        mail.wait(lambda: "deferral: Unable_to_run_qmail-local./" in mail.log())
        assert sender.messages() == program.messages() == []
    mail.finish()
    assert sender.messages() == [] and len(program.messages()) == len(plain.messages()) == 1


def test_no_qmail_getpw(mail, people):
    sender, reader = people(), people()
    with mail.renamed_away("bin/qmail-getpw"):
        mail.send(sender.address, reader.address)
        mail.wait(lambda: reader.messages() or "deferral: " in mail.log())
        assert sender.messages() == []
    mail.finish()
    assert len(reader.messages()) == 1


# ---------------------------------------------------------------- files that are missing or unreadable

def test_no_rcpthosts_no_relay(mail, person):
    mail.control("tcp.smtp", ":allow")
    mail.control("rcpthosts", None)
    mail.ctl("cdb")
    mail.reload()
    assert mail.answer("s@a.example", "joe@far.test")[0] == 553
    assert mail.answer("s@a.example", person.address)[0] == 553
    mail.wait(lambda: "rcpthosts" in mail.log("smtpd"))


@pytest.mark.parametrize("name", ["rcpthosts", "badmailfrom", "databytes", "me"])
def test_unreadable_control_file_of_smtp(mail, person, name):
    mail.control(name, "localhost", mode=0o000)
    mail.reload()

    def temporary():
        try:
            return 400 <= mail.answer("s@a.example", "joe@far.test")[0] < 500
        except smtplib.SMTPConnectError as why:
            return why.smtp_code in (421, 451)
        except smtplib.SMTPServerDisconnected:
            return False
    mail.wait(temporary)
    mail.wait(lambda: any(line.strip() for line in mail.log("smtpd").splitlines() if name in line or "control" in line))
    mail.undo()
    mail.reload()
    mail.wait(lambda: mail.answer("s@a.example", person.address)[0] == 250)


def test_unreadable_routes(mail, person):
    mail.control("smtproutes", "far.test:127.0.0.1", mode=0o000)
    mail.send(person.address, "joe@far.test")
    mail.wait(lambda: "deferral: Unable_to_read_control_files._(#4.3.0)/" in mail.log())
    with Host() as host:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{host.port}")
        mail.doqueue()
        mail.settled()
        assert len(host.messages) == 1
    assert person.messages() == []


def test_unreadable_locals(mail, person):
    """Read again in vain: said, and the old ones stay."""
    mail.unchecked()
    mail.control("locals", "other.test", mode=0o000)
    mail.reload()
    mail.wait(lambda: "alert: unable to reread control/locals" in mail.log())
    mail.send("s@a.example", person.address)
    mail.wait(person.messages)


def test_unreadable_users_cdb(mail, people):
    sender, reader = people(), people()
    mail.unchecked()
    path = f"{mail.home}/users/cdb"
    with open(path, "wb") as f:
        f.write(b"no cdb")
    try:
        mail.send(sender.address, reader.address)
        mail.wait(lambda: re.search(r"deferral: [^\n]*cdb", mail.log()))
        assert sender.messages() == reader.messages() == []
    finally:
        os.unlink(path)
    mail.finish()
    assert len(reader.messages()) == 1


# ---------------------------------------------------------------- descriptors

def limit(process, count):
    """Leave a running process this many descriptors; gives what undoes it. Done as the process's own user: a
    container's root may have no right to it."""
    with open(f"/proc/{process.pid}/limits", encoding="ascii") as f:
        soft = re.search(r"Max open files +(\d+)", f.read())[1]

    def put(number):
        subprocess.run(["setpriv", f"--reuid={process.uid}", f"--regid={process.gids[0]}", "--clear-groups",
                        "prlimit", f"--pid={process.pid}", f"--nofile={number}:"], check=True)
    put(count)
    return lambda: put(soft)


def temporary_answer(mail, person):
    try:
        with mail.smtp(timeout=3) as smtp:
            try:
                smtp.sendmail("s@a.example", person.address, b"Subject: x\r\n\r\nx\r\n")
                return 250
            except smtplib.SMTPResponseException as why:
                return why.smtp_code
    except (OSError, smtplib.SMTPException):
        return 0                    # not let in, for now


@pytest.mark.parametrize("spare", [0, 1, 2, 4])
def test_smtp_workers_without_descriptors(mail, person, spare):
    undo = [limit(process, max(process.fds) + 1 + spare) for process in mail.workers("qmail-smtpd")]
    codes = {temporary_answer(mail, person) for _ in range(3)}
    for restore in undo:
        restore()
    assert codes <= {0, 250, 421, 451, 452}, codes
    mail.wait(lambda: temporary_answer(mail, person) == 250)
    mail.settled()


@pytest.mark.parametrize("spare", [0, 1, 2, 3])
def test_queue_service_without_descriptors(mail, person, spare):
    _, worker = mail.service()
    restore = limit(worker, max(worker.fds) + 1 + spare)
    codes = {temporary_answer(mail, person) for _ in range(2)}
    restore()
    assert codes <= {0, 451, *(250,) * (spare > 1)}, codes
    mail.wait(lambda: temporary_answer(mail, person) == 250)
    mail.settled()


def test_spawner_without_descriptors(mail, person):
    [lspawn] = [process for process in mail.processes("qmail-lspawn") if process.uid == 0]
    restore = limit(lspawn, 6)
    mail.send("s@a.example", person.address)
    mail.wait(lambda: person.messages() or "deferral: " in mail.log())
    restore()
    mail.finish()
    assert len(person.messages()) == 1


# ---------------------------------------------------------------- clients that are slow, or gone

def test_connection_cut_in_the_text(mail, person):
    for cut in (b"Subject: cut\r\n\r\nhalf", b"Subject: cut\r\n\r\nwhole\r\n.", b"Subject: cut\r\n\r\nwhole\r\n.\r"):
        with socket.create_connection(("127.0.0.1", mail.system.smtp), 60) as client, client.makefile("rb") as lines:
            lines.readline()
            for command in (b"MAIL FROM:<s@a.example>", f"RCPT TO:<{person.name}@localhost>".encode(), b"DATA"):
                client.sendall(command + b"\r\n")
                assert lines.readline()[:3] in (b"250", b"354")
            client.sendall(cut)
    mail.send("s@a.example", person.address, text=b"Subject: whole\r\n\r\nx\r\n")
    mail.wait(person.messages)
    mail.settled()                  # nothing of the others is left
    assert len(person.messages()) == 1


def test_slow_clients_cost_nobody_else_anything(mail, person):
    with mail.smtp(), socket.create_connection(("127.0.0.1", mail.system.smtp), 60) as slow:
        talk = (f"HELO x\r\nMAIL FROM:<slow@a.example>\r\nRCPT TO:<{person.address}>\r\nDATA\r\n\0"
                "Subject: slow\r\n\r\nx\r\n.\r\n").encode()
        lines = slow.makefile("rb")
        silent = [socket.create_connection(("127.0.0.1", mail.system.smtp), 60) for _ in range(8)]
        for number, byte in enumerate(talk):
            if byte:
                slow.sendall(bytes([byte]))
            else:
                assert [lines.readline()[:3] for _ in range(5)] == [b"220", b"250", b"250", b"250", b"354"]
            if number % 25 == 0:
                mail.send("s@a.example", person.address)
        assert lines.readline()[:3] == b"250"
        for client in silent:
            client.close()
    mail.settled()
    assert sum(b"Subject: slow" in message for message in person.messages()) == 1
    assert len(person.messages()) == 1 + (number + 25) // 25


def test_slow_reader_of_pop3(mail, people):
    """One who does not read what he asked for keeps nobody else waiting."""
    slow, other = people(), people()
    mail.send("s@a.example", slow.address, text=b"Subject: large\r\n\r\n" + (b"y" * 70 + b"\r\n") * 100_000)
    mail.wait(slow.messages)
    time.sleep(max(0, 1.1 - time.time() % 1))       # a message shows from the second after its arrival
    with socket.create_connection(("127.0.0.1", mail.system.pop3), 60) as client:
        client.sendall(f"USER {slow.name}\r\nPASS {slow.password}\r\nRETR 1\r\n".encode())
        for _ in range(3):
            mailbox = poplib.POP3("127.0.0.1", mail.system.pop3, timeout=60)
            mailbox.user(other.name)
            mailbox.pass_(other.password)
            assert mailbox.stat() == (0, 0)
            mailbox.quit()
    mail.send("s@a.example", other.address)
    mail.wait(other.messages)
