"""Each program of ours in the place of C qmail's, and each of C qmail's in the place of ours, on one queue.

Debian has no package of qmail, so this runs only where QMAIL_C names a directory of programs compiled for /var/qmail
(notqmail's after `make it`):

    QMAIL_C=/usr/local/src/notqmail tests/run tests/thirdparty/test_exchange.py
"""
import contextlib
import os
import poplib
import pwd
import shutil
import smtplib
import subprocess

import pytest

from tests.peers.ports import free_port
from tests.peers.smtp_host import Host as MailHost
from tests.thirdparty.conftest import HOME

THEIRS = os.environ.get("QMAIL_C")
pytestmark = [pytest.mark.root, pytest.mark.system,
              pytest.mark.skipif(not THEIRS, reason="QMAIL_C does not name compiled programs of qmail")]
ALONE = ("qmail-queue", "qmail-send", "qmail-lspawn", "qmail-rspawn", "qmail-clean", "qmail-local", "qmail-remote",
         "qmail-start", "qmail-getpw", "qmail-inject", "sendmail", "qmail-smtpd", "qmail-popup", "qmail-pop3d",
         "forward", "qmail-qread", "qmail-qstat", "qmail-tcpto", "qmail-showctl")
TOGETHER = (("qmail-send", "qmail-clean"), ("qmail-lspawn", "qmail-local"), ("qmail-rspawn", "qmail-remote"),
            ("qmail-lspawn", "qmail-rspawn", "qmail-clean"), ("qmail-start", "qmail-send"),
            ("qmail-queue", "qmail-inject", "qmail-smtpd"))
GUESTS = ((), *((name,) for name in ALONE), *TOGETHER)
REMOTE = "there@far.test"


class Mixed:
    """An installation whose programs come from two sides."""

    def __init__(self, host):
        self.host, self.place = host, host.place
        self.sides = {"ours": f"{self.place}/ours", "C": f"{self.place}/theirs"}
        shutil.copytree(f"{host.home}/bin", self.sides["ours"], symlinks=True)
        os.mkdir(self.sides["C"])
        for name in os.listdir(self.sides["ours"]):
            if os.path.isfile(f"{THEIRS}/{name}"):
                shutil.copy(f"{THEIRS}/{name}", self.sides["C"])
                os.chmod(f"{self.sides['C']}/{name}", 0o755)
        self.log_file = f"{self.place}/mixed.log"
        with open(self.log_file, "w", encoding="ascii"):
            os.chown(self.log_file, pwd.getpwnam("qmaill").pw_uid, -1)

    def compose(self, side, guests):
        """bin/ of one side, with these programs of the other."""
        for name in os.listdir(f"{self.host.home}/bin"):
            os.unlink(f"{self.host.home}/bin/{name}")
        other = {"ours": "C", "C": "ours"}[side]
        self.ours = set()
        for name in os.listdir(self.sides["ours"]):
            source = other if name in guests else side
            if not os.path.exists(f"{self.sides[source]}/{name}"):
                source = "ours"                 # C qmail has no such program
            self.ours |= {name} if source == "ours" else set()
            shutil.copy2(f"{self.sides[source]}/{name}", f"{self.host.home}/bin/{name}", follow_symlinks=False)
        if "qmail-queue" not in self.ours:
            owner = pwd.getpwnam("qmailq")
            os.chown(f"{self.host.home}/bin/qmail-queue", owner.pw_uid, owner.pw_gid)
            os.chmod(f"{self.host.home}/bin/qmail-queue", 0o4711)

    @contextlib.contextmanager
    def running(self):
        """qmail-start, and where nobody else starts it the service of our qmail-queue."""
        host, self.before = self.host, os.path.getsize(self.log_file)
        start = (f"{HOME}/bin/qmail-start", "./Maildir/", "tee", "-a", self.log_file)
        with contextlib.ExitStack() as stack:
            if "qmail-queue" in self.ours and "qmail-start" not in self.ours:
                stack.enter_context(host.daemon(f"{HOME}/bin/qmail-queue", "--service", ready=self.queue_answers))
            sender = stack.enter_context(host.daemon(*start, stdout=subprocess.DEVNULL,
                                                     ready=lambda: "status: local 0/" in self.log()))
            if "qmail-queue" in self.ours:
                host.wait(self.queue_answers)
            yield sender
        host.wait(lambda: not [process for process in host.processes() if process.program in ALONE])

    def queue_answers(self):
        return os.path.exists(f"{self.host.home}/run/qmail-queue/socket")

    def log(self):
        return self.host.read(self.log_file)[self.before:].decode()


@pytest.fixture(scope="module")
def mixed(place):
    host = place()
    for name in ("rcptcheck", "smtplisten", "pop3listen"):
        host.control(name)
    return Mixed(host)


@pytest.fixture(scope="module")
def two(people):
    return people(), people()


def subjects(person):
    return sorted(line[9:].decode() for text in person.messages() for line in text.splitlines()
                  if line.startswith(b"Subject: "))


@pytest.mark.parametrize("guests", GUESTS, ids=lambda guests: "+".join(guests) or "nothing")
@pytest.mark.parametrize("side", ["ours", "C"])
def test_mail_flows(mixed, two, side, guests):
    host, (ann, bob) = mixed.host, two
    for person in two:
        shutil.rmtree(f"{person.home}/Maildir")
        host.run("mkdir", *(f"{person.home}/Maildir{part}" for part in ("", "/tmp", "/new", "/cur")), user=person)
    ann.file(".qmail-all", f"|cat >> all\n&{bob.name}\n./Maildir/\n")
    ann.file(".qmail-later", "|exit 111\n")
    mixed.compose(side, guests)

    def inject(program, subject, *recipients):
        done = host.run(f"{HOME}/bin/{program}", *recipients, user=ann, input=f"Subject: {subject}\n\nhi\n".encode())
        assert done.returncode == 0, done
    with MailHost() as far:
        host.control("smtproutes", f"far.test:[127.0.0.1]:{far.port}")
        with mixed.running():
            number = free_port()
            with host.served(number, f"{HOME}/bin/qmail-smtpd", env={"RELAYCLIENT": ""}):
                with smtplib.SMTP("127.0.0.1", number, timeout=60) as smtp:
                    smtp.sendmail(ann.address, [ann.address, bob.address, REMOTE], "Subject: smtp\r\n\r\nhi\r\n")
            inject("sendmail", "hand", bob.name, REMOTE)
            inject("qmail-inject", "lost", "nobody-here-at-all")
            inject("qmail-inject", "all", f"{ann.name}-all")
            inject("qmail-inject", "later", f"{ann.name}-later", bob.name)
            host.wait(lambda: subjects(ann) == ["all", "failure notice", "lost", "smtp"] and len(far.messages) == 2
                      and subjects(bob) == ["all", "hand", "later", "smtp"] and ": deferral: " in mixed.log())
            assert host.read(f"{ann.home}/all").count(b"Subject: all") == 1
            os.unlink(f"{ann.home}/all")
            listed = host.run(f"{HOME}/bin/qmail-qread", text=True)
            assert listed.returncode == 0 and f"{ann.name}-later@" in listed.stdout and "done" in listed.stdout
            for program in ("qmail-qstat", "qmail-tcpto", "qmail-showctl"):
                assert host.run(f"{HOME}/bin/{program}").returncode == 0, program
            number = free_port()
            checker = ("checkpassword", f"{HOME}/bin/qmail-pop3d", "Maildir")
            with host.served(number, f"{HOME}/bin/qmail-popup", "pop.example", *checker):
                host.wait(lambda: read_by_pop(number, ann, delete=False) == 3)  # shown from the second after arrival
                assert read_by_pop(number, ann, delete=True) == 3
            assert subjects(ann) == []
        ann.file(".qmail-later", "./Maildir/\n")
        with mixed.running() as sender:         # what is left in the queue goes on, and so does what comes now
            inject("sendmail", "second", bob.name)
            host.run("kill", "-ALRM", str(sender.pid))
            host.wait(lambda: subjects(ann) == ["later"]
                      and subjects(bob) == ["all", "hand", "later", "second", "smtp"])
            host.wait(lambda: not [path for path in host.in_queue() if "/pid/" not in path])


def read_by_pop(number, person, delete):
    """How many messages there are; they are read, and deleted if asked for."""
    mailbox = poplib.POP3("127.0.0.1", number, timeout=60)
    mailbox.user(person.name)
    mailbox.pass_(person.password)
    count, _ = mailbox.stat()
    for message in range(1, count + 1):
        mailbox.retr(message)
        if delete:
            mailbox.dele(message)
    mailbox.quit()
    return count
