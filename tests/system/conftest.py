"""Mail through running installations: what the whole-system tests do with one, and further ones of their own."""
import contextlib
import grp
import os
import signal
import smtplib
import subprocess

import pytest

from tests.conftest import Person, System
from tests.peers import proc
from tests.peers.ports import free_port

TEXT = b"Subject: test\r\n\r\nhello\r\n"
SPLIT = 23


class Mail:
    """A running installation with everything one does to it. Control files that a test sets are put back, and
    what it put into alias's home is taken away, by undo()."""

    services = 4                    # that run

    def __init__(self, system):
        self.system, self.home = system, system.home
        self.log, self.ctl, self.pid = system.log, system.ctl, system.pid
        self.saved = {}

    def wait(self, ready, seconds=60):
        """System.wait; what is in the queue and the end of the log are told if it was in vain."""
        try:
            return self.system.wait(ready, seconds)
        except AssertionError as why:
            raise AssertionError(f"{why}\nqueue: {self.in_queue()}\n{self.ctl('queue')[1]}\n{self.log()[-6000:]}") from why

    # ------------------------------------------------------------ sending

    def smtp(self, **options):
        options = {"timeout": 30, "local_hostname": "client.test", **options}
        return smtplib.SMTP("127.0.0.1", self.system.smtp, **options)

    def send(self, sender, *recipients, text=TEXT):
        """By SMTP; raises what smtplib raises."""
        with self.smtp() as smtp:
            assert smtp.sendmail(sender, recipients, text) == {}

    def answer(self, sender, *recipients, text=TEXT):
        """(code, reply) of the last step of a transaction, whatever it is."""
        with self.smtp() as smtp:
            smtp.ehlo()
            for step in (lambda: smtp.mail(sender), *(lambda to=to: smtp.rcpt(to) for to in recipients)):
                code, reply = step()
                if code >= 400:
                    return code, reply
            try:
                return smtp.data(text)
            except smtplib.SMTPDataError as why:
                return why.smtp_code, why.smtp_error

    def unchecked(self):
        """Let RCPT accept recipients without asking whether they have a mailbox, from the next connection on."""
        self.control("rcptcheck", "0")

    def sendmail(self, person, *arguments, text=b"Subject: test\n\nhello\n", program="sendmail"):
        """bin/sendmail run by a person; the CompletedProcess."""
        return subprocess.run(["runuser", "-u", person.name, "--", f"{self.home}/bin/{program}", *arguments],
                              input=text, capture_output=True, timeout=60)

    # ------------------------------------------------------------ looking

    def queued(self):
        """The messages in the queue, by number."""
        return sorted(int(name) for n in range(SPLIT) for name in os.listdir(f"{self.home}/queue/mess/{n}"))

    def in_queue(self):
        """Every file of the queue that stands for a message or part of one."""
        return [f"{where}/{name}" for where, _, names in os.walk(f"{self.home}/queue") for name in names
                if not where.endswith("/lock")]

    def unfinished(self):
        """The messages that qmail-send still knows; remains of a crash lie in mess/ for 36 hours."""
        directories = [f"{self.home}/queue/todo", *(f"{self.home}/queue/info/{n}" for n in range(SPLIT))]
        return sorted(int(name) for where in directories for name in os.listdir(where))

    def settled(self):
        """Wait until the queue is empty."""
        self.wait(lambda: not self.in_queue(), 60)

    def processes(self, program=None):
        return proc.of(self.home, program)

    def workers(self, program):
        """Those processes of a program whose parent runs the same program."""
        found = self.processes(program)
        pids = {process.pid for process in found}
        return [process for process in found if process.parent in pids]

    def service(self):
        """(guardian, worker) of the queue service."""
        def both():
            [*guardians] = [process for process in self.processes("qmail-queue") if "--service" in process.words]
            pids = {process.pid for process in guardians}
            pairs = [(guardian, worker) for guardian in guardians if guardian.parent not in pids
                     for worker in guardians if worker.parent == guardian.pid]
            return pairs[0] if len(pairs) == 1 else None
        return self.wait(both)

    # ------------------------------------------------------------ changing

    def control(self, name, content=None, mode=0o644):
        """Write control/NAME (str, newline added; None: take it away). undo() puts back what was there."""
        path = f"{self.home}/control/{name}"
        if name not in self.saved:
            self.saved[name] = None
            with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as f:
                self.saved[name] = f.read(), os.stat(path).st_mode & 0o777
        self.put(path, None if content is None else content + "\n", mode)

    @staticmethod
    def put(path, content, mode):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        if content is not None:
            fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(fd, "w", encoding="utf-8") as f:
                f.write(content)
                os.fchmod(fd, mode)
            os.rename(f"{path}.new", path)

    def undo(self):
        for name, (content, mode) in ((name, saved or (None, 0)) for name, saved in self.saved.items()):
            self.put(f"{self.home}/control/{name}", content, mode)
        changed, self.saved = self.saved, {}
        if {"tcp.smtp"} & set(changed):
            self.ctl("cdb")
        return changed

    def restart(self):
        assert self.ctl("restart")[0] == 0, self.log("qmailctl") + self.log()

    def reload(self):
        assert self.ctl("reload") == (0, "")

    def doqueue(self):
        """Have qmail-send try everything now, as soon as it is up to it."""
        self.wait(lambda: self.ctl("doqueue")[0] == 0)

    def kill(self, *processes):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    @contextlib.contextmanager
    def stopped(self, *processes):
        """These processes do nothing for a while."""
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def renamed_away(self, name):
        path = f"{self.home}/{name}"
        os.rename(path, f"{path}.away")
        try:
            yield
        finally:
            os.rename(f"{path}.away", path)

    def end(self):
        """In whatever state the test left it; the supervisor first, lest it starts the others again."""
        self.kill(*self.processes("qmailctl"))
        while found := self.processes():
            self.kill(*found)

    def finish(self):
        """Have everything tried again until the queue is done."""
        self.wait(lambda: self.doqueue() or not self.unfinished(), 60)

    def up(self):
        """Wait until everything that should run runs and answers."""
        def ready():
            try:
                with self.smtp(timeout=5):
                    return self.ctl("stat")[1].count(": up") == self.services and self.service()
            except (OSError, smtplib.SMTPException):
                return False
        self.wait(ready)


@pytest.fixture
def mail(system):
    """The running installation that tests share. Changed control files are read again afterwards."""
    found = Mail(system)
    yield found
    if set(found.undo()) - {"smtproutes", "rcpthosts", "tcp.smtp", "databytes", "rcptcheck"}:
        found.restart()


@pytest.fixture(scope="module")
def own(make_system):
    """An installation that may be broken without disturbing others."""
    return make_system()


@pytest.fixture
def own_mail(own):
    """`own`, running; afterwards its settings are as before."""
    own.up()
    yield own
    if set(own.undo()) - {"smtproutes", "rcptcheck"}:
        own.restart()
    own.up()


@pytest.fixture(scope="module")
def make_system(open_place, install):
    """make_system(prepare=…): a further installation, running; prepare(home) is called before it starts."""
    with contextlib.ExitStack() as stack:
        def make(prepare=lambda home: None):
            smtp, pop3 = free_port(), free_port()
            home = install(os.path.join(open_place, f"own{os.urandom(3).hex()}", "home"), "--smtp", f"127.0.0.1:{smtp}",
                           "--pop3", f"127.0.0.1:{pop3}")
            found = Mail(System(home, smtp, pop3))
            stack.callback(found.end)
            prepare(home)
            status, output = found.ctl("start")
            assert status == 0, output
            return found
        yield make


class Member(Person):
    """A Person with what tests ask of one."""

    def file(self, name, content, mode=0o600):
        """A file in the home, the person's own."""
        path = f"{self.home}/{name}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "w", encoding="utf-8") as f:
            f.write(content)
        os.chown(path, self.uid, self.gid)
        os.chmod(path, mode)

    @property
    def address(self):
        return f"{self.name}@localhost"

    @property
    def uid(self):
        return os.stat(self.home).st_uid

    @property
    def gid(self):
        return os.stat(self.home).st_gid


@pytest.fixture(scope="module")
def people():
    """people(): a new user of this machine; gone after the module."""
    made = []

    def make():
        made.append(Member(f"pyq{os.urandom(4).hex()}", f"Pw-{os.urandom(6).hex()}"))
        return made[-1]
    yield make
    for someone in made:
        someone.remove()


@pytest.fixture
def person(people):
    return people()


@pytest.fixture
def alias_file(system):
    """alias_file(name, content): alias's .qmail-NAME, gone after the test."""
    home, made = f"{system.home}/alias", []

    def make(name, content):
        path = f"{home}/.qmail-{name}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        made.append(path)
        os.fchown(fd, os.stat(home).st_uid, grp.getgrnam("qmail").gr_gid)
        with open(fd, "w", encoding="utf-8") as f:
            f.write(content)
    yield make
    for path in made:
        os.unlink(path)
