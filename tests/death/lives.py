"""One message's life, cut short at one system call of one program, and what became of the message.

A Place is an installation of its own with two people, a virtual user and a mail host far away. A trial sends a numbered
message, or several at once, to a reader with a Maildir, to an address whose program refuses it, to the virtual user and
to the host; somewhere on the way one process dies, or one call fails; the service manager starts again what died; when
nothing moves any more everything is counted. What was acknowledged must be there: one copy in each
Maildir, the bounce with its reason in the sender's, and a copy at the host (at least: the protocol
cannot do better).
"""
import contextlib
import os
import poplib
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import threading
import time

from pyqmail.queue import check
from pyqmail.qmtp import wire
from tests.death.roles import OWN, ROLES, uid_of
from tests.death.watch import Trace
from tests.peers.ports import free_port
from tests.peers.smtp_host import EHLO, Host

ANSWER = 120                        # s that a client waits for one
LIFE = 20                           # s for a life that nobody disturbs
# A program's text that sh cannot open, read or, in our WRAPPER, execute: it says "for good" then, or, taking an error
# for the end, "done". What is in qmail-local's place is believed.
UNREADABLE = r"(openat|p?read\w*) HOME/bin/|execve HOME/bin/\S+\.own"
REASON = "This address refuses all mail."
AFTER_ERROR = 0.3                   # s that the tracer stays: the call has failed, life may go on
PATIENCE = 60                       # s after a death until all must be accounted for
SETTLED = 2                         # s without anything in the queue
NUDGE = 1.5                         # s that qmail-send may take; then it is started again: its own timer has 123 s
GATHER = 5                          # s that several messages may take to be where they are waited for
SEVERAL = 4
LARGE = 40_000                      # bytes: too large for one packet to the queue service
WRAPPER = "#!/bin/sh\nexec {home}/bin/{name}.own \"$@\"\n"
EVERYWHERE = ("Maildir", "bounce", "host", "virtual")
ONCE = ("Maildir", "virtual")
PIPELINING = b"250-host\r\n250 PIPELINING"


class Message:
    """number: in its text. where: the places it is sent to, of EVERYWHERE. answer: what the client was told, "" if
    nothing. copies: afterwards, {place: how many}."""

    def __init__(self, number, where):
        self.number, self.where, self.answer, self.copies = number, where, "", {}

    @property
    def acknowledged(self):
        return self.answer == "250"

    @property
    def mark(self):
        return b"\nnumber %d." % self.number

    def text(self, size=0, end=b"\n"):
        lines = b"Subject: death\n\nnumber %d.\n" % self.number + b"%078d\n" % 0 * (size // 79)
        return lines.replace(b"\n", end)


class Result:
    """What a trial found. problems: each a loss or something stuck; answers: what the clients were told; copies: of
    each message."""

    def __init__(self, role, at, error):
        self.role, self.at, self.error = role, at, error
        self.hit, self.calls, self.log, self.same = None, 0, [], []
        self.acknowledged, self.answers, self.copies = 0, [], []
        self.problems, self.notes = [], []

    def __str__(self):
        what = f"{self.role} at {self.at} ({self.hit}){' ' + self.error if self.error else ''}"
        return f"{what}: {'; '.join(self.problems)} [copies {self.copies}, answers {self.answers}]"


def texts(maildir):
    """The messages in a Maildir, as bytes."""
    found = []
    for part in ("new", "cur"):
        for name in sorted(os.listdir(f"{maildir}/{part}")):
            with contextlib.suppress(FileNotFoundError), open(f"{maildir}/{part}/{name}", "rb") as f:
                found.append(f.read())
    return found


def empty(maildir):
    for part in ("new", "cur", "tmp"):
        for name in os.listdir(f"{maildir}/{part}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{maildir}/{part}/{name}")


class Place:
    """mail: the running installation (tests/system). people: makes one. virtual: (address, Maildir) of a virtual user
    of it, or None. finisher: another qmail-send, which goes on from what deaths leave. It may be broken in any way."""

    def __init__(self, mail, people, virtual=None, finisher=None):
        self.mail, self.home, self.virtual, self.finisher = mail, mail.home, virtual, finisher
        self.reader, self.sender = people(), people()
        self.sender.file(".qmail-none-default", f"|echo {REASON}; exit 100\n")
        self.host = Host(**{EHLO: PIPELINING}).__enter__()
        self.number, self.owned = 0, check.owners()
        self.ports = {"smtp": mail.system.smtp, "qmtp": free_port(), "qmqp": free_port()}
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{self.host.port}")
        mail.control("concurrencyremote", "2")
        for name, port in self.ports.items():
            mail.control(f"tcp.{name}", '127.:allow,RELAYCLIENT=""')
            if name != "smtp":
                mail.control(f"{name}listen", f"127.0.0.1:{port}")
        mail.ctl("cdb")
        mail.restart()

    def close(self):
        self.host.__exit__()

    # ------------------------------------------------------------ processes

    def pids(self, role):
        find = role.pids
        found = find(self)
        self.mail.wait(lambda: found or (self.warm_up(), found.extend(find(self)), found)[2])
        return [process.pid for process in found]

    def warm_up(self):
        """A life without anything: every process that is made for the first message is there."""
        self.up()
        result = Result("qmail-send", 0, None)
        self.recover(result, [self.smtp(self.message())])
        assert not result.problems, result

    def up(self):
        """Wait until qmail-send takes signals, the queue service answers and SMTP greets."""
        self.mail.wait(lambda: self.sender_process() and all(map(self.answers, self.ports)) and self.mail.service(), 60)

    def sender_process(self):
        """qmail-send, if it is up to signals; None."""
        with contextlib.suppress(OSError, ValueError, StopIteration):
            pid = self.mail.pid("send")
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                caught = next(int(line.split()[1], 16) for line in f if line.startswith("SigCgt:"))
            if caught >> signal.SIGALRM - 1 & 1:
                return pid
        return None

    def answers(self, name):
        """A server takes connections, and SMTP greets."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports[name]), 5) as s:
                return name != "smtp" or s.recv(3) == b"220"
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

    @contextlib.contextmanager
    def finished_by(self, program):
        """From its next start on qmail-send is this program; afterwards ours again."""
        path = f"{self.home}/bin/qmail-send"
        os.rename(path, f"{path}.own")
        shutil.copy(program, path)
        self.mail.kill(*self.mail.processes("qmail-send"))
        try:
            yield
        finally:
            os.rename(f"{path}.own", path)
            self.up()
            pid = self.sender_process()
            os.kill(pid, signal.SIGTERM)
            self.mail.wait(lambda: not os.path.exists(f"/proc/{pid}"))

    # ------------------------------------------------------------ a life

    def trial(self, name, at=0, error=None, log=False, call=None):
        """One life during which role `name` dies at its call number `at` (0: never), or that call fails with `error`.
        call: only calls that this pattern finds something in count."""
        role, result = ROLES[name], Result(name, at, error)
        options = [*(("--at", at) if at else ()), *(("--error", error) if error else ()), *(("--log",) if log else ()),
                   *(("--new",) if role.new else ()), *(("--own",) if role.own else ()),
                   *(("--together",) if role.together else ())]
        if call or error and role.executed:
            options += ("--call", call or OWN.format(home=self.home, homes="/home/"))
        self.up()
        with self.exchanged(*role.cold):
            getattr(self, role.life)(role, result, options)
        return result

    def message(self, *where):
        self.number += 1
        return Message(self.number, [place for place in where or EVERYWHERE if place != "virtual" or self.virtual])

    def recipients(self, message):
        addresses = {"Maildir": self.reader.address, "bounce": f"{self.sender.name}-none-{message.number}@localhost",
                     "host": "joe@far.test", "virtual": self.virtual and self.virtual[0]}
        return [addresses[place] for place in message.where]

    def smtp(self, message, size=0, ready=lambda: None):
        """Send it; ready() is called before it is complete. Returns the message with its answer."""
        try:
            with smtplib.SMTP("127.0.0.1", self.ports["smtp"], timeout=ANSWER, local_hostname="client.test") as smtp:
                smtp.ehlo()
                smtp.mail(self.sender.address)
                codes = [smtp.rcpt(recipient) for recipient in self.recipients(message)]
                code, text = next((pair for pair in codes if pair[0] != 250), (250, b""))
                if code == 250:
                    ready()
                    code, text = smtp.data(message.text(size, b"\r\n"))
                message.answer = "250" if code == 250 else f"{code} {text.decode()}" if code > 0 else ""
        except smtplib.SMTPResponseException as why:
            if not message.answer and why.smtp_code > 0:
                message.answer = f"{why.smtp_code} {why.smtp_error.decode()}"
        except (OSError, smtplib.SMTPException):
            pass
        return message

    def one(self, role, result, options, send):
        """send() while the role's processes are traced."""
        with self.unsupervised(), Trace(self.pids(role), *options) as trace:
            if role.first:
                self.mail.kill(*role.first(self))
            sent = send()
            end = time.monotonic() + LIFE
            while time.monotonic() < end and not trace.struck(0.01) and not self.over():
                pass
            if trace.struck() and result.error:
                self.over(AFTER_ERROR)
            elif trace.struck():
                self.look(result)
            finish = contextlib.ExitStack()
            if self.finisher and trace.struck() and self.mail.unfinished():
                finish.enter_context(self.finished_by(self.finisher))
                result.notes.append("finished by another")
        self.note(result, trace)
        with finish:
            self.recover(result, sent)

    def by_smtp(self, role, result, options):
        self.one(role, result, options, lambda: [self.smtp(self.message())])

    def large(self, role, result, options):
        self.one(role, result, options, lambda: [self.smtp(self.message("Maildir", "host", "virtual"), LARGE)])

    def several(self, role, result, options):
        """Several messages that come to the role's processes in one go."""
        messages = [self.message("Maildir", "host") for _ in range(SEVERAL)]
        frozen = role.frozen(self)

        def send():
            begin = threading.Barrier(SEVERAL)

            def ready():
                with contextlib.suppress(threading.BrokenBarrierError):
                    begin.wait(GATHER)
            threads = [threading.Thread(target=self.smtp, args=(message, 0, ready)) for message in messages]
            for thread in threads:
                thread.start()
            end, waiting = time.monotonic() + GATHER, threading.Thread.is_alive
            while self.at_the_door() < SEVERAL and any(map(waiting, threads)) and time.monotonic() < end:
                time.sleep(0.01)
            for process in frozen:
                os.kill(process.pid, signal.SIGCONT)
            for thread in threads:
                thread.join()
            return messages
        self.pids(role)                 # those that are made for the first message are there
        with self.mail.stopped(*frozen):
            self.one(role, result, options, send)

    def at_the_door(self):
        """Connections to the queue service that it has not taken, or not dealt with."""
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
            return sum(f"{self.home}/run/qmail-queue/socket" in line for line in f) - 1

    def qmtp(self, role, result, options):
        def packet(message):
            text = wire.netstring(b"\n" + message.text())
            recipients = b"".join(wire.netstring(address.encode()) for address in self.recipients(message))
            return text + wire.netstring(self.sender.address.encode()) + wire.netstring(recipients)
        self.one(role, result, options, lambda: [self.converse("qmtp", packet, self.message())])

    def qmqp(self, role, result, options):
        def packet(message):
            parts = message.text(), self.sender.address.encode(), *map(str.encode, self.recipients(message))
            return wire.netstring(b"".join(map(wire.netstring, parts)))
        self.one(role, result, options, lambda: [self.converse("qmqp", packet, self.message())])

    def converse(self, name, packet, message):
        """Send a packet; the message with its answer, as SMTP would have put it."""
        said = b""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[name]), ANSWER) as sock:
            sock.sendall(packet(message))
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                said += data
        letters = re.findall(rb"\d+:([KZD])", said)
        if len(letters) == (len(message.where) if name == "qmtp" else 1):
            message.answer = {b"K": "250", b"Z": "451", b"D": "554"}[max(letters, key=b"KZD".index)]
        return message

    # ------------------------------------------------------------ lives of programs that are started for a message

    def queue_by_root(self, role, result, options):
        message = self.message()
        self.program(result, options, message, ["qmail-queue"], 0, self.envelope(message))

    def queue_by_user(self, role, result, options):
        message = self.message()
        self.program(result, options, message, ["qmail-queue"], self.sender.uid, self.envelope(message))

    def sendmail(self, role, result, options):
        message = self.message()
        words = ["sendmail", "-f", self.sender.address, "--", *self.recipients(message)]
        self.program(result, options, message, words, self.sender.uid)

    def envelope(self, message):
        return (b"F%b\0" % self.sender.address.encode()
                + b"".join(b"T%b\0" % recipient.encode() for recipient in self.recipients(message)) + b"\0")

    def program(self, result, options, message, words, uid, envelope=None):
        """Run a program as `uid` that reads the message on descriptor 0, and the envelope on 1 if there is one."""
        text, addresses = os.pipe(), os.pipe()
        command = [f"{self.home}/bin/{words[0]}", *words[1:]]
        process = subprocess.Popen(["/bin/sh", "-c", 'kill -STOP $$; exec "$0" "$@"', *command], stdin=text[0],
                                   stdout=addresses[0] if envelope else subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, user=uid, group=uid, extra_groups=[])
        os.close(text[0])
        os.close(addresses[0])
        os.waitpid(process.pid, os.WUNTRACED)
        with Trace([process.pid], *options) as trace:
            os.kill(process.pid, signal.SIGCONT)
            for pipe, data in ((text[1], message.text()), (addresses[1], envelope)):
                if data:
                    with contextlib.suppress(BrokenPipeError):
                        os.write(pipe, data)
                os.close(pipe)
            status = process.wait()
            trace.struck(0)
        message.answer = "250" if status == 0 else f"exit {status}"
        self.note(result, trace)
        self.recover(result, [message])

    # ------------------------------------------------------------ a life at the other end

    def pop3(self, role, result, options):
        """Two messages in the Maildir, one of them read and deleted by POP3."""
        self.number += 1
        for word in ("kept", "read"):
            self.put(f"1000000{len(word)}.{word}.host", f"Subject: {word}\n\nnumber {self.number}.\n")
        with Trace(self.pids(role), *options) as trace:
            with contextlib.suppress(OSError, poplib.error_proto):
                mailbox = poplib.POP3("127.0.0.1", self.mail.system.pop3, timeout=20)
                mailbox.user(self.reader.name)
                mailbox.pass_(self.reader.password)
                read = [b"\n".join(mailbox.retr(number)[1]) for number in (1, 2)]
                mailbox.dele(1 + [b"Subject: read" in text for text in read].index(True))
                result.answers = [mailbox.quit()[:3].decode()]
            trace.struck(0)
        self.note(result, trace)
        result.acknowledged = int(result.answers == ["+OK"])
        left = [b"Subject: kept" in text for text in texts(f"{self.reader.home}/Maildir")]
        result.copies = [{"kept": left.count(True), "deleted": left.count(False)}]
        if left.count(True) != 1:
            result.problems.append("lost what was not deleted")
        if result.acknowledged and left.count(False) or left.count(False) > 1:
            result.problems.append("what was deleted is there")
        self.tidy(result)

    def put(self, name, text):
        """A message of the reader's, an old one."""
        path = f"{self.reader.home}/Maildir/new/{name}"
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chown(path, uid_of(self.reader.name), -1)
        os.utime(path, (1e9, 1e9))

    # ------------------------------------------------------------ what was seen

    def note(self, result, trace):
        result.calls, result.log, result.same = trace.calls, [self.plain(call) for call in trace.log], trace.same
        result.hit = trace.hit and self.plain(trace.hit)

    def plain(self, call):
        """A call without what differs from life to life."""
        virtual = ((self.virtual[1], "~virtual/Maildir"),) if self.virtual else ()
        people = [(word, "~") for person in (self.reader, self.sender) for word in (person.home, person.name)]
        for place, word in ((self.home, "HOME"), *virtual, *people):
            call = call.replace(place, word)
        return re.sub(r"[0-9]+", "#", re.sub(r"/pyqmail-test\.[^/]*|/domains/[^/]*", "", call))

    @contextlib.contextmanager
    def unsupervised(self):
        """What has died stays dead, so that one can see what it left."""
        with self.mail.stopped(*self.mail.processes("qmailctl")):
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
        for finding in check.findings(f"{self.home}/queue", self.owned):
            if finding.kind != check.ORPHAN:
                result.problems.append(f"{finding.kind}: {finding.path} {finding.text}")

    # ------------------------------------------------------------ afterwards

    def count(self, messages):
        """Fill in the copies of each message."""
        far = [text.replace(b"\r", b"") for _, _, text in list(self.host.messages)]
        found = {"Maildir": texts(f"{self.reader.home}/Maildir"), "bounce": texts(f"{self.sender.home}/Maildir"),
                 "host": far, "virtual": texts(self.virtual[1]) if self.virtual else []}
        for message in messages:
            message.copies = {place: sum(message.mark in text for text in found[place]) for place in message.where}

    def over(self, seconds=0):
        """True if the queue is empty; waits so long for it."""
        end = time.monotonic() + seconds
        while self.mail.unfinished():
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        return True

    def recover(self, result, messages):
        """Wait until nothing moves, hurrying what waits for its time; count."""
        start, hurried, nudged, empty_since, sender, up_since = time.monotonic(), 0.0, False, None, None, 0.0
        while True:
            now = time.monotonic()
            if not self.over():
                empty_since = None
            else:
                self.count(messages)
                empty_since = empty_since or now
                complete = self.at_the_door() <= 0 and all(
                    all(message.copies.values()) for message in messages if message.acknowledged)
                if complete or now > empty_since + SETTLED:
                    break
            if now > start + PATIENCE:
                result.problems.append("stuck: " + " ".join(self.mail.in_queue()))
                break
            if now > hurried + 0.3 and (pid := self.sender_process()):
                hurried = now
                if pid != sender:
                    sender, up_since = pid, now
                with contextlib.suppress(ProcessLookupError):
                    if now > up_since + NUDGE and not nudged:
                        nudged = True
                        result.notes.append("waited for a timer")
                        os.kill(pid, signal.SIGTERM)
                    else:
                        os.kill(pid, signal.SIGALRM)
            time.sleep(0.03)
        self.count(messages)
        for message in messages:
            self.judge(result, message)
        self.tidy(result)

    def judge(self, result, message):
        result.acknowledged += message.acknowledged
        result.answers.append(message.answer)
        result.copies.append(message.copies)
        counts = message.copies.values()
        if message.acknowledged and not all(counts):
            result.problems.append("lost")
        elif any(counts) and not all(counts):
            result.problems.append("half of it lost")
        for place, count in message.copies.items():
            if count > 1:
                (result.problems if place in ONCE else result.notes).append(f"{place} twice")
        self.check_bounce(result, message)
        if result.error and result.hit and re.match(UNREADABLE, result.hit) and result.problems:
            result.notes.append("the program's own text: " + ", ".join(result.problems))
            result.problems.clear()
        if for_good(message.answer):
            result.problems.append("refused for good: " + message.answer)
        if not message.answer and not ROLES[result.role].hears:
            result.problems.append("the client got no answer")

    def check_bounce(self, result, message):
        address = b"<%b-none-%d@localhost" % (self.sender.name.encode(), message.number)     # sendmail completes names
        for text in texts(f"{self.sender.home}/Maildir"):
            if message.mark in text and b"failure notice" in text:
                if address not in text or REASON.encode() not in text:
                    result.problems.append("bounce without its reason")
                said = text.partition(b"--- Below this line")[0]
                if any(other.encode() in said for other, place in zip(self.recipients(message), message.where)
                       if place != "bounce"):
                    result.problems.append("bounced what had to wait")

    def tidy(self, result):
        """Take away what a death may leave, remains of an insertion or removal, and say if there is more."""
        for path in self.mail.in_queue():
            if path.removeprefix(f"{self.home}/queue/").split("/")[0] not in ("mess", "intd", "pid"):
                result.problems.append(f"left over: {path}")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        for person in (self.reader, self.sender):
            empty(f"{person.home}/Maildir")
        if self.virtual:
            empty(self.virtual[1])
        self.host.messages.clear()


def for_good(answer):
    """Whether a client that is told this does not try again."""
    word, _, code = answer.partition(" ")
    if word == "exit":
        return code == "100" or code.isdigit() and 11 <= int(code) <= 40
    return answer.startswith("5")
