"""The recipient check of a whole system: what RCPT says is what becomes of mail for that recipient."""
import contextlib
import os
import re
import signal
import smtplib
import socket
import subprocess

import pytest

from tests.peers import proc
from tests.peers.virtual import Virtual

pytestmark = [pytest.mark.root, pytest.mark.system]

UNKNOWN = (550, b"sorry, no mailbox here by that name (#5.1.1)")
LATER = (451, b"sorry, I can't tell now whether that mailbox exists (#4.3.0)")
NO_ROOM = (552, b"sorry, that mailbox has no room for your message (#5.2.2)")
OUTCOMES = {250: "success", 550: "failure", 552: "failure", 451: "deferral"}
WAITS = "taken, and kept in the queue: the home is sticky"
NOT_FOUND = ("no_mailbox_here_by_that_name", "account_is_locked", "invalid_username")


def write(path, text="", like=None):
    """A file in somebody's directory, as his."""
    with open(path, "wb") as f:
        f.write(text.encode())
    found = os.stat(like or os.path.dirname(path))
    os.chown(path, found.st_uid, found.st_gid)


class Place:
    """The installation, with everybody whom the table below names."""

    def __init__(self, mail, virtual, people):
        self.mail, self.virtual, self.home = mail, virtual, mail.home
        self.user, self.other, self.open, self.sticky = (people() for _ in range(4))
        self.user.file(".qmail-ext", "./Maildir/\n")
        self.user.file(".qmail-empty", "")
        self.user.file(".qmail-sub-default", "./Maildir/\n")
        self.other.file(".qmail-default", "./Maildir/\n")
        os.chmod(self.open.home, 0o777)
        os.chmod(self.sticky.home, 0o1700)
        for name in ("someone", "first:last", "team-default", "quoted name"):
            write(f"{self.home}/alias/.qmail-{name}", f"&{self.user.name}\n")
        write(f"{self.home}/alias/.qmail-everybody-can-write", "./Maildir/\n")
        os.chmod(f"{self.home}/alias/.qmail-everybody-can-write", 0o666)
        self.domain = virtual.add_domain()
        self.joe = virtual.add_user(f"joe@{self.domain}")
        virtual.add_user(f"locked@{self.domain}")
        virtual.run("vmoduser", "-b", f"locked@{self.domain}")
        self.full = virtual.add_user(f"full@{self.domain}", "-q", "100S")
        self.fill(self.full, 100)
        self.forwards = virtual.add_user(f"forwards@{self.domain}", "-q", "100S")
        self.fill(self.forwards, 100)
        write(virtual.user_directory(self.forwards) + "/.qmail", f"&{self.user.name}@localhost\n")
        write(virtual.domain_directory(self.domain) + "/.qmail-list", f"&{self.user.name}@localhost\n")
        self.alias = virtual.new_name()
        virtual.run("vaddaliasdomain", self.domain, self.alias)
        self.catching = virtual.add_domain("-e", f"{self.user.name}@localhost")
        with open(f"{self.home}/users/assign", encoding="ascii") as f:
            lines = f.read().removesuffix(".\n")
        self.assign(lines + f"=chief:root:0:0:/root:::\n+pre-:{self.other.name}:{self.other.uid}:{self.other.gid}:"
                    f"{self.other.home}:-:x-:\n")

    def fill(self, address, size):
        """Put a message of so many bytes into the Maildir, which is to be counted anew."""
        directory = self.virtual.user_directory(address) + "/Maildir"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/maildirsize")
        write(f"{directory}/cur/1.1.a,S={size}:2,S", "x" * size)

    def assign(self, lines):
        with open(f"{self.home}/users/assign.new", "w", encoding="ascii") as f:
            f.write(lines + ".\n")
        os.rename(f"{self.home}/users/assign.new", f"{self.home}/users/assign")
        subprocess.run([f"{self.home}/bin/qmail-newu"], check=True)

    def table(self):
        """(recipient as qmail-send gets it, code of RCPT)"""
        user, other, domain = self.user.name, self.other.name, self.domain
        yield from ((f"{user}@localhost", 250), (f"{user.upper()}@LOCALHOST", 250), (user, 250),
                    (f"{user}-ext@localhost", 250), (f"{user}-EXT@localhost", 250), (f"{user}-empty@localhost", 250),
                    (f"{user}-none@localhost", 550), (f"{user}-ext-more@localhost", 550), (f"{user}-@localhost", 550),
                    (f"{other}-anything.at.all@localhost", 250), (f"{self.open.name}@localhost", 451),
                    (f"{self.sticky.name}@localhost", WAITS), (f"{self.sticky.name}-x@localhost", 451))
        yield from (("someone@localhost", 250), ("SomeOne@localhost", 250), ("first.last@localhost", 250),
                    ("first:last@localhost", 250), ("team-x-y@localhost", 250), ("team@localhost", 550),
                    ("quoted name@localhost", 250), ("nobody-here@localhost", 550), ("nobody@at@localhost", 550),
                    ("everybody-can-write@localhost", 451), ("/../someone@localhost", 550),
                    ("\xe9\xff@localhost", 550), ("a" * 300 + "@localhost", 550), ("x-" * 150 + "@localhost", 550),
                    ("chief@localhost", 451), ("pre-y@localhost", 250), ("@localhost", None))     # done without a delivery
        yield from ((f"{user}%localhost@hack.test", 250), (f"{user}-none%localhost@hack.test", 550),
                    (f"joe%{domain}@hack.test", 250), ("x@sub.test", 250), ("x@deep.wild.test", 250),
                    ("one@single.test", 250), ("one@nothing.test", 550))
        yield from ((self.joe, 250), (self.joe.upper(), 250), (f"nobody@{domain}", 550), (f"joe-x@{domain}", 550),
                    (f"locked@{domain}", 550), (f"list@{domain}", 250), (f"postmaster@{domain}", 250),
                    (f"joe@{self.alias}", 250), (f"nobody@{self.alias}", 550), (f"LIST@{self.alias}", 250),
                    (f"whoever@{self.catching}", 250), (f"a,b@{domain}", 550), (self.full, 552), (self.forwards, 250))

    def answer(self, *recipients, size=None):
        """The replies to RCPT, all sent at once."""
        with self.mail.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("s@a.example")
            quoted = [re.sub(rb'([" \\@])', rb"\\\1", local) + at + domain
                      for local, at, domain in (to.encode("latin-1").rpartition(b"@") for to in recipients)]
            smtp.sock.sendall(b"".join(b"RCPT TO:<%b>\r\n" % to for to in quoted))
            return [smtp.getreply() for _ in recipients]

    def outcomes(self, recipients):
        """{recipient: what the log says of its delivery}: a message each, from senders that tell them apart. Not by
        SMTP, so unchecked."""
        before = len(self.mail.log())
        senders = [f"{self.user.name}-sub-{n}@localhost" for n in range(len(recipients))]
        envelopes = "".join(f"{sender}\0{to}\0" for sender, to in zip(senders, recipients))
        subprocess.run(["/usr/bin/python3", "-ISXutf8", "-c", SUBMIT, self.home], check=True,
                       input=envelopes.encode("latin-1"))

        def all_reported():
            found = ends(self.mail.log()[before:])
            return found if found.keys() >= set(senders) else None
        found = self.mail.wait(all_reported, 120)
        return {to: found[sender] for sender, to in zip(senders, recipients)}


SUBMIT = """
import sys
sys.path[:0] = [sys.argv[1]]
from pyqmail.queue.client import Submission
fields = sys.stdin.buffer.read().split(b"\\0")[:-1]
for sender, recipient in zip(fields[::2], fields[1::2]):
    with Submission() as queue:
        queue.put(b"Subject: test\\n\\nhello\\n")
        answer = queue.finish(sender, [recipient])
        assert answer == b"", answer
"""


def ends(log):
    """{sender: outcome} of every delivery that has ended."""
    sender_of, delivery_of, found = {}, {}, {}
    for line in log.split("\n"):
        if match := re.search(r"info msg (\d+): bytes \d+ from <(.*)> qp", line):
            sender_of[match[1]] = match[2]
        elif match := re.search(r"starting delivery (\d+): msg (\d+) to local", line):
            delivery_of[match[1]] = sender_of.get(match[2])
        elif match := re.search(r"delivery (\d+): ((success|failure|deferral): .*)", line):
            found[delivery_of.get(match[1])] = match[2]
    return found


@pytest.fixture(scope="module")
def place(another_vpophome, make_system, people):
    user = people()

    def prepare(home):
        for name, text in {"percenthack": "hack.test\n", "concurrencylocal": "40\n", "virtualdomains":
                           f"sub.test:{user.name}-sub\n.wild.test:{user.name}-sub\none@single.test:{user.name}-sub\n"
                           f"nothing.test:{user.name}-no\n"}.items():
            with open(f"{home}/control/{name}", "w", encoding="ascii") as f:
                f.write(text)
        with open(f"{home}/control/locals", "a", encoding="ascii") as f:
            f.write("hack.test\n")
        done = subprocess.run([f"{home}/bin/qmailctl", "vpopmail"], capture_output=True)
        assert done.returncode == 0, done
    mail = make_system(prepare)

    def people_first(made=[user]):
        return made.pop() if made else people()
    virtual = Virtual(mail.system, another_vpophome)
    yield Place(mail, virtual, people_first)
    virtual.remove_all()


@pytest.fixture(scope="module")
def told(place):
    """{recipient: reply to RCPT} of the table."""
    rows = [to for to, _ in place.table()]
    return dict(zip(rows, place.answer(*rows)))


def test_the_table(place, told):
    expected = {to: 250 if code in (None, WAITS) else code for to, code in place.table()}
    assert {to: code for to, (code, _) in told.items()} == expected
    for code, reply in told.values():
        assert (code, reply) in (UNKNOWN, LATER, NO_ROOM, (250, b"ok"))


def test_as_mail_is_delivered(place, told):
    """550 exactly where a delivery bounces for want of a mailbox, 451 exactly where it is deferred."""
    rows = {to: code for to, code in place.table() if code is not None}
    wrong = {}
    for to, outcome in place.outcomes(list(rows)).items():
        code = told[to][0]
        missing = any(words in outcome for words in NOT_FOUND)
        expected = "deferral" if rows[to] == WAITS else OUTCOMES[code]
        if outcome.split(":")[0] != expected or (code == 550) != missing:
            wrong[to] = code, outcome
    assert wrong == {}


def test_the_program_itself(place):
    def ask(*addresses):
        done = subprocess.run([f"{place.home}/bin/qmail-rcptcheck", *addresses], capture_output=True, timeout=60)
        return done.returncode, done.stdout.decode()
    assert ask(place.joe, "x@far.example") == (0, f"{place.joe}: known\nx@far.example: known\n")
    assert ask(f"x@{place.domain}", place.full) == (1, f"x@{place.domain}: unknown\n{place.full}: over quota\n")
    assert ask("chief@localhost", "nobody-here@localhost")[0] == 111
    assert "cannot tell about chief@localhost" in place.mail.log("rcptcheck")


@contextlib.contextmanager
def classic(place, **environ):
    """qmail-smtpd on a connection of its own, as qmaild, as tcpserver runs it."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([f"{place.home}/bin/qmail-smtpd"], stdin=theirs, stdout=theirs, user="qmaild",
                               group="nofiles", extra_groups=[], env={"PATH": os.environ["PATH"], **environ})
    theirs.close()
    smtp = smtplib.SMTP(local_hostname="client.test")
    smtp.sock, smtp.file = ours, None
    ours.settimeout(60)
    try:
        assert smtp.getreply()[0] == 220
        smtp.ehlo()
        yield smtp
    finally:
        ours.close()
        process.kill()
        process.wait()


def test_run_by_tcpserver(place):
    with classic(place, RELAYCLIENT="") as smtp:
        smtp.mail("s@a.example")
        assert [smtp.rcpt(to) for to in (f"nobody@{place.domain}", place.joe, "x@far.example", place.full)] == [
            UNKNOWN, (250, b"ok"), (250, b"ok"), NO_ROOM]
    with classic(place) as smtp:
        smtp.mail("s@a.example")
        assert smtp.rcpt("nobody-here@far.example")[0] == 553       # first of all: is the domain one of ours?
        assert smtp.rcpt("nobody-here@localhost") == UNKNOWN


def test_by_qmtp(place):
    def netstring(*parts):
        return b"%d:%b," % (len(b"".join(parts)), b"".join(parts))
    recipients = [to.encode() for to in (f"nobody@{place.domain}", f"{place.user.name}-ext@localhost", place.full)]
    said = netstring(b"\nSubject: x\n\nx\n") + netstring(b"s@a.example") + netstring(*map(netstring, recipients))
    done = subprocess.run([f"{place.home}/bin/qmail-qmtpd"], input=said, capture_output=True, user="qmaild", timeout=60,
                          group="nofiles", extra_groups=[], env={"PATH": os.environ["PATH"], "RELAYCLIENT": ""})
    assert re.fullmatch(rb"\d+:Dsorry, no mailbox here [^:]*,\d+:Kok \d+ qp \d+,\d+:Dsorry, that mailbox has no .*,",
                        done.stdout), done
    assert len(place.mail.wait(place.user.messages)) >= 1


@pytest.mark.parametrize("way", ["listening", "classic"])
def test_a_message_that_does_not_fit(place, way):
    small = place.virtual.add_user(f"small-{way}@{place.domain}", "-q", "20000S")
    large = place.virtual.add_user(f"large-{way}@{place.domain}", "-q", "90000S")
    text = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 3000
    with place.mail.smtp() if way == "listening" else classic(place, RELAYCLIENT="") as smtp:
        smtp.ehlo()
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.sendmail("s@a.example", [small], text)
        assert (refused.value.smtp_code, refused.value.smtp_error) == NO_ROOM
        assert smtp.sendmail("s@a.example", [small, large], text) == {}     # large has room; for small it bounces
        assert smtp.sendmail("s@a.example", [small], b"Subject: y\r\n\r\nsmall\r\n") == {}
    place.mail.wait(lambda: len(place.virtual.messages(small)) == 1 and len(place.virtual.messages(large)) == 1)


def test_who_asks_for_too_many_is_sent_away(place):
    with place.mail.smtp() as smtp:
        smtp.ehlo()
        smtp.mail("s@a.example")
        assert [smtp.rcpt(f"nobody{n}@localhost") for n in range(20)] == [UNKNOWN] * 20
        assert smtp.getreply() == (421, b"sorry, too many unknown recipients (#4.7.1)")
        assert smtp.file.readline() == b""


def test_what_changes_counts(place):
    with open(f"{place.home}/users/assign", encoding="ascii") as f:
        before = f.read().removesuffix(".\n")
    user = place.user
    assert place.answer("new@localhost") == [UNKNOWN]
    place.assign(before + f"=new:{user.name}:{user.uid}:{user.gid}:{user.home}:::\n")
    assert place.answer("new@localhost") == [(250, b"ok")]
    place.assign(before)
    place.mail.reload()                 # at once, not when what is remembered has become too old
    place.mail.wait(lambda: place.answer("new@localhost") == [UNKNOWN])
    user.file(".qmail-late", "./Maildir/\n")
    assert place.answer(f"{user.name}-late@localhost") == [(250, b"ok")]
    added = place.virtual.add_user(f"late@{place.domain}")
    assert place.answer(added) == [(250, b"ok")]


def test_without_the_service_mail_waits(place):
    """Nobody is told 250 or 550 then; and it is started again."""
    supervisor = place.mail.processes("qmailctl")
    with place.mail.stopped(*supervisor):
        place.mail.kill(*place.mail.processes("qmail-rcptcheck"))
        place.mail.wait(lambda: not place.mail.processes("qmail-rcptcheck"))
        assert place.answer(place.joe, "nobody-here@localhost") == [LATER] * 2
        with classic(place) as smtp:
            smtp.mail("s@a.example")
            assert smtp.rcpt("nobody-here@localhost") == LATER
    place.mail.wait(lambda: place.answer(place.joe, "nobody-here@localhost") == [(250, b"ok"), UNKNOWN])
    assert "recipients cannot be checked" in place.mail.log("smtpd")


@pytest.mark.parametrize("part", ["root", "front", "resolver", "look"])
def test_a_part_that_dies(place, part):
    """It is replaced, and meanwhile nobody hears 550 who should not."""
    assert place.answer(place.joe) == [(250, b"ok")]
    for process in parts(place)[part]:
        os.kill(process.pid, signal.SIGKILL)
    replies = []
    place.mail.wait(lambda: replies.extend(place.answer(f"{place.user.name}-ext@localhost", place.joe)) or
                    replies[-2:] == [(250, b"ok")] * 2)
    assert set(replies) <= {(250, b"ok"), LATER}
    place.mail.wait(lambda: place.answer("nobody-here@localhost") == [UNKNOWN])


def parts(place):
    found = place.mail.processes("qmail-rcptcheck")
    [root] = [process for process in found if process.uid == 0]
    below = proc.children(root, found)
    front = min((process for process in below if process.uid not in (0,) and "pipe" in process.fds.values()
                 and list(process.fds.values()).count("socket") > 1), key=lambda process: process.pid)
    return {"root": [root], "front": [front],
            "resolver": [process for process in below if process.uid == front.uid and process is not front],
            "look": [process for process in below if process.uid != front.uid]}


def test_who_may_ask(place):
    """root and qmaild; the directory is closed to most others, and those of the group hear nothing."""
    script = ("import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); "
              f"s.connect('{place.home}/run/qmail-rcptcheck/socket'); s.send(b'RC1\\0001\\0000\\0joe'); "
              "print(s.recv(100))")

    def ask(user, group):
        done = subprocess.run(["/usr/bin/python3", "-IS", "-c", script], user=user, group=group, extra_groups=[],
                              capture_output=True, text=True)
        return done.stdout or done.stderr.rstrip().rpartition("\n")[2]
    assert ask("qmaild", "nofiles").startswith("b'1\\x00")
    assert "Permission denied" in ask("nobody", "nogroup")
    assert ask("alias", "nofiles").startswith(("b''", "ConnectionResetError", "BrokenPipeError"))


def test_another_program_in_place_of_ours_decides(place):
    path = f"{place.home}/bin/qmail-local"
    with place.mail.renamed_away("bin/qmail-local"):
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 0\n")
        os.chmod(path, 0o755)
        place.mail.wait(lambda: place.answer("nobody-here@localhost") == [(250, b"ok")])
        os.unlink(path)
    place.mail.reload()
    place.mail.wait(lambda: place.answer("nobody-here@localhost") == [UNKNOWN])
