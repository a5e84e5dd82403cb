"""One message's life, cut short at one system call of one program, and what became of the message.

A Place is an installation of its own with two people and a mail host far away. A trial sends one numbered
message to a reader with a Maildir, to an address whose program refuses it and to the host; somewhere on
the way one process dies, or one call fails; the service manager starts again what died; when
nothing moves any more everything is counted. What was acknowledged must be there: one copy in the
Maildir, the bounce with its reason in the sender's, and a copy at the host (at least: the protocol
cannot do better).
"""
import contextlib
import os
import poplib
import re
import select
import signal
import smtplib
import socket
import subprocess
import sys
import time

from pyqmail.queue import check
from tests.peers.smtp_host import Host

TRACER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tracer.py")
LIFE = 20                           # s for a life that nobody disturbs
# A program's text that sh cannot open or read: it says "for good" then, or, taking an error for the end, "done".
UNREADABLE = r"(openat|p?read\w*) HOME/bin/"
OWN = "{home}/(pyqmail|queue|control|users)|/lib/python3|/home/|[0-9]+/[0-9]+"
REASON = "This address refuses all mail."
AFTER_ERROR = 0.5                   # s that the tracer stays: the call has failed, life may go on
PATIENCE = 60                       # s after a death until all must be accounted for
NUDGE = 3                           # s; then qmail-send is started again rather than wait for its 123 s
WRAPPER = "#!/bin/sh\nexec {home}/bin/{name}.own \"$@\"\n"


class Trace:
    """tests/death/tracer.py on some processes, as a context manager. hit: the call at which it struck;
    calls: how many were counted; log: all of them, afterwards, if asked for."""

    def __init__(self, pids, *options):
        self.words = [sys.executable, "-IS", TRACER, *map(str, options), *map(str, pids)]
        self.hit, self.calls, self.log, self._rest = None, 0, [], b""

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        while not self._take(10):
            assert self.process.poll() is None, "the tracer did not start"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        while self._take(10) is not None:
            pass
        self.process.wait()

    def struck(self, seconds=0):
        """True once the call has come; waits so long for it."""
        if self.hit is None:
            self._take(seconds)
        return self.hit is not None

    def _take(self, seconds):
        """Whether "ready" was among the lines that came; None at the end."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return False
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        *lines, self._rest = (self._rest + data).split(b"\n")
        ready = False
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            if word == "ready":
                ready = True
            elif word == "hit":
                self.hit = rest
            elif word == "call":
                self.log.append(rest)
            elif word == "calls":
                self.calls = int(rest)
        return ready if data else None


class Result:
    """What a trial found. problems: each a loss or something stuck; copies: in the Maildir, of bounces, at the
    host; answer: what the client was told ("" if nothing)."""

    def __init__(self, role, at, error):
        self.role, self.at, self.error = role, at, error
        self.hit, self.calls, self.acknowledged, self.answer, self.copies = None, 0, False, "", (0, 0, 0)
        self.problems, self.notes, self.log = [], [], []

    def __str__(self):
        what = f"{self.role} at {self.at} ({self.hit}){' ' + self.error if self.error else ''}"
        return f"{what}: {'; '.join(self.problems)} [copies {self.copies}, answer {self.answer!r}]"


class Place:
    """mail: the running installation (tests/system). people: makes one. It may be broken in any way."""

    def __init__(self, mail, people):
        self.mail, self.home = mail, mail.home
        self.reader, self.sender = people(), people()
        self.sender.file(".qmail-none-default", f"|echo {REASON}; exit 100\n")
        self.host = Host().__enter__()
        self.number, self.owned = 0, check.owners()
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{self.host.port}")
        mail.control("tcp.smtp", '127.:allow,RELAYCLIENT=""')
        mail.ctl("cdb")
        mail.restart()

    def close(self):
        self.host.__exit__()

    # ------------------------------------------------------------ processes

    def pids(self, role):
        found = ROLES[role].pids(self)
        self.mail.wait(lambda: found or (self.warm_up(), found.extend(ROLES[role].pids(self)), found)[2])
        return [process.pid for process in found]

    def warm_up(self):
        """A life without anything: every process that is made for the first message is there."""
        self.up()
        self.send()
        self.recover(Result("nobody", 0, None))

    def up(self):
        """Wait until qmail-send takes signals, the queue service answers and SMTP greets."""
        self.mail.wait(lambda: self.sender_process() and self.greeted() and self.mail.service(), 60)

    def sender_process(self):
        """qmail-send, if it is up to signals; None."""
        with contextlib.suppress(OSError, ValueError, StopIteration):
            pid = self.mail.pid("send")
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                caught = next(int(line.split()[1], 16) for line in f if line.startswith("SigCgt:"))
            if caught >> signal.SIGALRM - 1 & 1:
                return pid
        return None

    def greeted(self):
        try:
            with socket.create_connection(("127.0.0.1", self.mail.system.smtp), 5) as s:
                return s.recv(3) == b"220"
        except OSError:
            return False

    @contextlib.contextmanager
    def exchanged(self, *names):
        """bin/NAME is a script that runs the program: no warm process does its work."""
        for name in names:
            path = f"{self.home}/bin/{name}"
            os.rename(path, f"{path}.own")
            with open(path, "w", encoding="utf-8") as f:
                f.write(WRAPPER.format(home=self.home, name=name))
            os.chmod(path, 0o755)
        try:
            yield
        finally:
            for name in names:
                os.rename(f"{self.home}/bin/{name}.own", f"{self.home}/bin/{name}")

    # ------------------------------------------------------------ a life

    def send(self):
        """One message by SMTP: what the last reply was ("" for none)."""
        self.number += 1
        text = b"Subject: death\r\n\r\nnumber %d.\r\n" % self.number
        recipients = self.reader.address, f"{self.sender.name}-none-{self.number}@localhost", "joe@far.test"
        try:
            with smtplib.SMTP("127.0.0.1", self.mail.system.smtp, timeout=30, local_hostname="client.test") as smtp:
                try:
                    smtp.sendmail(self.sender.address, recipients, text)
                except smtplib.SMTPRecipientsRefused as why:
                    return " ".join(str(code) for code, _ in why.recipients.values())
                except smtplib.SMTPResponseException as why:
                    return f"{why.smtp_code} {why.smtp_error.decode()}"
                return "250"
        except smtplib.SMTPResponseException as why:
            return f"{why.smtp_code} {why.smtp_error.decode()}"
        except (OSError, smtplib.SMTPException):
            return ""

    def program(self, begin):
        """One message by bin/qmail-queue, run by root; begin(pid) is called before it does anything."""
        self.number += 1
        recipients = self.reader.address, f"{self.sender.name}-none-{self.number}@localhost", "joe@far.test"
        message, envelope = os.pipe(), os.pipe()
        process = subprocess.Popen(["/bin/sh", "-c", 'read go && exec "$0" <"$1"', f"{self.home}/bin/qmail-queue",
                                    f"/dev/fd/{message[0]}"],
                                   stdin=subprocess.PIPE, stdout=envelope[0], pass_fds=(message[0],))
        os.close(message[0])
        os.close(envelope[0])
        with begin(process.pid) as trace:
            process.stdin.write(b"\n")
            process.stdin.close()
            for pipe, data in ((message[1], b"Subject: death\n\nnumber %d.\n" % self.number),
                               (envelope[1], b"F%b\0" % self.sender.address.encode()
                                + b"".join(b"T%b\0" % recipient.encode() for recipient in recipients) + b"\0")):
                with contextlib.suppress(BrokenPipeError):
                    os.write(pipe, data)
                os.close(pipe)
            status = process.wait()
            trace.struck(0)
        return trace, "250" if status == 0 else f"exit {status}"

    def trial(self, role, at=0, error=None, log=False, call=None):
        """One life during which `role` dies at its call number `at` (0: never), or that call fails with `error`.
        call: only calls that this pattern finds something in count."""
        result = Result(role, at, error)
        self.up()
        options = [*(("--at", at) if at else ()), *(("--error", error) if error else ()), *(("--log",) if log else ()),
                   *(("--new",) if ROLES[role].new else ())]
        if call or error and ROLES[role].cold:
            options += ("--call", call or OWN.format(home=self.home))
        if ROLES[role].life == "program":
            trace, result.answer = self.program(lambda pid: Trace([pid], *options))
        elif ROLES[role].life == "pop3":
            return self.session(result, options)
        else:
            with self.unsupervised(), Trace(self.pids(role), *options) as trace:
                result.answer = self.send()
                end = time.monotonic() + LIFE
                while time.monotonic() < end and not trace.struck(0.01) and not self.over():
                    pass
                if trace.struck() and error:
                    self.over(AFTER_ERROR)
                elif trace.struck():
                    self.look(result)
        self.note(result, trace)
        result.acknowledged = result.answer == "250"
        self.recover(result)
        return result

    def session(self, result, options):
        """The second kind of life: two messages in the Maildir, one of them read and deleted by POP3."""
        self.number += 1
        for word in ("kept", "read"):
            self.put(f"1000000{len(word)}.{word}.host", f"Subject: {word}\n\nnumber {self.number}.\n")
        with Trace(self.pids(result.role), *options) as trace:
            with contextlib.suppress(OSError, poplib.error_proto):
                mailbox = poplib.POP3("127.0.0.1", self.mail.system.pop3, timeout=20)
                mailbox.user(self.reader.name)
                mailbox.pass_(self.reader.password)
                texts = [b"\n".join(mailbox.retr(number)[1]) for number in (1, 2)]
                mailbox.dele(1 + [b"Subject: read" in text for text in texts].index(True))
                result.answer = mailbox.quit()[:3].decode()
            trace.struck(0)
        self.note(result, trace)
        result.acknowledged = result.answer == "+OK"
        left = [b"Subject: kept" in text for text in self.reader.messages()]
        result.copies = left.count(True), left.count(False), 0
        if left.count(True) != 1:
            result.problems.append("lost what was not deleted")
        if result.acknowledged and left.count(False) or left.count(False) > 1:
            result.problems.append("what was deleted is there")
        self.tidy(result)
        return result

    def put(self, name, text):
        """A message of the reader's, an old one."""
        path = f"{self.reader.home}/Maildir/new/{name}"
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chown(path, proc_uid(self.reader.name), -1)
        os.utime(path, (1e9, 1e9))

    def note(self, result, trace):
        result.calls, result.log = trace.calls, [self.plain(call) for call in trace.log]
        result.hit = trace.hit and self.plain(trace.hit)

    def plain(self, call):
        """A call without what differs from life to life."""
        for place, word in ((self.home, "HOME"), (self.reader.home, "~"), (self.sender.home, "~")):
            call = call.replace(place, word)
        return re.sub(r"[0-9]+", "#", call)

    # ------------------------------------------------------------ afterwards

    @contextlib.contextmanager
    def unsupervised(self):
        """What has died stays dead, so that one can see what it left."""
        with self.mail.stopped(*[process for process in self.mail.processes("qmailctl")]):
            yield

    def look(self, result):
        """When nothing changes any more: is the queue in a state that C qmail-send would accept?"""
        before = None
        for _ in range(100):
            now = sorted(self.mail.in_queue())
            if now == before:
                break
            before = now
            time.sleep(0.03)
        result.state = now
        for finding in check.findings(f"{self.home}/queue", self.owned):
            if finding.kind != check.ORPHAN:
                result.problems.append(f"{finding.kind}: {finding.path} {finding.text}")

    def copies(self):
        """Of the last message: (in the Maildir, bounces, at the host)."""
        here = b"\nnumber %d." % self.number
        bounces = [text for text in self.sender.messages() if here in text]
        return (sum(here in text for text in self.reader.messages()), len(bounces),
                sum(here in text.replace(b"\r", b"") for _, _, text in self.host.messages))

    def over(self, seconds=0):
        """True if the queue is empty; waits so long for it."""
        end = time.monotonic() + seconds
        while self.mail.unfinished():
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        return True

    def recover(self, result):
        """Wait until nothing moves, hurrying what waits for its time; count."""
        start, hurried, nudged = time.monotonic(), 0.0, False
        while True:
            if self.over():
                result.copies = self.copies()
                if not result.acknowledged or all(result.copies) or time.monotonic() > start + 2 and self.over():
                    break
            now = time.monotonic()
            if now > start + PATIENCE:
                result.problems.append("stuck: " + " ".join(self.mail.in_queue()))
                break
            if now > hurried + 0.3 and (pid := self.sender_process()):
                hurried = now
                with contextlib.suppress(ProcessLookupError):
                    if now > start + NUDGE and not nudged:
                        nudged = True
                        result.notes.append("waited for a timer")
                        os.kill(pid, signal.SIGTERM)
                    else:
                        os.kill(pid, signal.SIGALRM)
            time.sleep(0.03)
        result.copies = local, bounces, remote = self.copies()
        if result.acknowledged and not all(result.copies):
            result.problems.append("lost")
        if local > 1:
            result.problems.append("delivered twice")
        if not result.acknowledged and any(result.copies) and not all(result.copies):
            result.problems.append("half of it lost")
        if bounces > 1:
            result.notes.append("bounced twice")
        if remote > 1:
            result.notes.append("sent twice")
        self.check_bounce(result)
        self.tidy(result)

    def check_bounce(self, result):
        here = b"\nnumber %d." % self.number
        address = b"<%b-none-%d@localhost>:\n" % (self.sender.name.encode(), self.number)
        for text in self.sender.messages():
            if here in text and b"failure notice" in text:
                if address not in text or REASON.encode() not in text:
                    result.problems.append("bounce without its reason")
                if self.reader.address.encode() in text.partition(b"--- Below this line")[0]:
                    result.problems.append("bounced what had to wait")
        if result.error and result.hit and re.match(UNREADABLE, result.hit):
            result.notes.append(", ".join(result.problems))
            result.problems.clear()
        if result.error and result.answer and result.answer[0] == "5":
            result.problems.append("refused for good: " + result.answer)

    def tidy(self, result):
        """Take away what a death may leave, remains of an insertion or removal, and say if there is more."""
        for path in self.mail.in_queue():
            if path.removeprefix(f"{self.home}/queue/").split("/")[0] not in ("mess", "intd", "pid"):
                result.problems.append(f"left over: {path}")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        for person in (self.reader, self.sender):
            for part in ("new", "cur", "tmp"):
                for name in os.listdir(f"{person.home}/Maildir/{part}"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{person.home}/Maildir/{part}/{name}")
        self.host.messages.clear()


class Role:
    """pids(place): the processes to watch. new: only what they fork from now on. cold: programs that
    are executed anew; of these only calls on our own files and Python's are made to fail, for what sh does before
    is not ours. life: which kind of life shows this role at work."""

    def __init__(self, pids, new=False, cold=(), life="smtp"):
        self.pids, self.new, self.cold, self.life = pids, new, cold, life


def lspawn(place):
    return [process for process in place.mail.processes("qmail-lspawn") if process.uid == 0]


def lookups(place):
    uid = proc_uid("qmailp")
    return [process for process in place.mail.workers("qmail-lspawn") if process.uid == uid]


def warm(place):
    uids = {proc_uid(person.name) for person in (place.reader, place.sender)}
    return [process for process in place.mail.workers("qmail-lspawn") if process.uid in uids]


def proc_uid(name):
    import pwd
    return pwd.getpwnam(name).pw_uid


ROLES = {
    "qmail-smtpd": Role(lambda place: place.mail.workers("qmail-smtpd")),
    "queue service": Role(lambda place: list(place.mail.service()[1:])),
    "qmail-queue": Role(None, life="program"),
    "qmail-send": Role(lambda place: place.mail.processes("qmail-send")),
    "qmail-clean": Role(lambda place: place.mail.processes("qmail-clean")),
    "qmail-lspawn": Role(lspawn),
    "look-ups": Role(lookups),
    "warm qmail-local": Role(warm),
    "cold qmail-local": Role(lspawn, new=True, cold=("qmail-local",)),
    "qmail-rspawn": Role(lambda place: place.mail.workers("qmail-rspawn")),
    "cold qmail-remote": Role(lambda place: place.mail.processes("qmail-rspawn"), new=True, cold=("qmail-remote",)),
    "qmail-pop3d": Role(lambda place: [process for process in place.mail.processes("qmail-popup") if process.uid == 0],
                        new=True, life="pop3"),
}
