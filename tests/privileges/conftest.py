"""A whole system with the probe in every program, and what each of its processes can do."""
import contextlib
import json
import os
import poplib
import shutil
import signal
import smtplib
import subprocess
import sys

import pytest

from pyqmail.base import sandbox
from tests.conftest import Person, System
from tests.peers import proc
from tests.peers.ports import free_port
from tests.peers.roles import by_role, uid
from tests.peers.virtual import Virtual
from tests.privileges import by_hand, planted, promised

CLONE_NEWUSER = 0x10000000
KEYCTL, IO_URING_SETUP, PERF_EVENT_OPEN, PTRACE = {
    "x86_64": (250, 425, 298, 101), "aarch64": (219, 425, 241, 117)}.get(os.uname().machine, (0, 0, 0, 0))
PEEK, NOBODY = 2, 4_190_001
CALLS = [                           # what depends on the kernel
    ["a_namespace", "new namespaces", CLONE_NEWUSER], ["a_call", "ptrace", [PTRACE, PEEK, 0x7FFFFFF0, 0, 0]],
    ["a_call", "keyrings", [KEYCTL, 0, -2, 1, 0, 0]], ["a_call", "io_uring", [IO_URING_SETUP, 0, 0]],
    ["a_call", "performance counters", [PERF_EVENT_OPEN, 0, 0, -1, -1, 0]],
]


PATIENCE = {
    "spawn/warm": "IDLE_TIME = AGE_MAX", "vpopmail/daemon": "IDLE = 3600", "imap/asking": "TIME = 3600",
    "imap/keeper": "TIME = 3600", "pop3/authenticator": "CHECK_TIME = 3600",
    # who checks a password is asked while he does
    "auth/failures": """
from ..base import planted
_too_many = too_many

def too_many(*words):
    planted.wait()
    return _too_many(*words)
""",
}


def plant(home):
    """From here on every program of this installation has the probe."""
    shutil.copy(planted.__file__, f"{home}/pyqmail/base/planted.py")
    os.chmod(f"{home}/pyqmail/base/planted.py", 0o644)
    with open(f"{home}/pyqmail/base/errors.py", "a", encoding="utf-8") as f:
        f.write("\nfrom . import planted\n")
    for module, text in PATIENCE.items():       # they are to be there until everybody has looked at them
        with open(f"{home}/pyqmail/{module}.py", "a", encoding="utf-8") as f:
            f.write(f"\n{text}\n")
    with open(f"{home}/planted.area", "wb") as f:
        f.truncate(planted.ORDERS + planted.SLOT * planted.SLOTS)
        os.fchmod(f.fileno(), 0o666)


class Place:
    """The installation, with somebody for each part: `user` gets mail and reads it by POP3, `other` has nothing to do
    with anything, `owner` owns a virtual domain."""

    def __init__(self, mail, user, other, owner):
        self.mail, self.home, self.user, self.other, self.owner = mail, mail.home, user, other, owner
        self.started, self.missing = by_hand.Started(mail.home), ()
        self.domain = mail.add_domain("-u", owner.name)
        self.joe = mail.add_user(f"joe@{self.domain}")
        self.top = mail.domain_directory(self.domain)

    def prepare(self):
        """Everybody has something to do, and every file that is looked for is there. Returns what must stay open."""
        self.mine(self.user, ".qmail-command", f"|{self.home}/bin/except sleep 600\n")
        with open(f"{self.home}/alias/.qmail-list", "w", encoding="ascii") as f:
            f.write("./Maildir/\n")
            os.fchmod(f.fileno(), 0o644)
            os.fchown(f.fileno(), uid("alias"), -1)
        maildir = f"{self.home}/alias/Maildir"
        recipients = [f"{self.user.name}@localhost", f"{self.other.name}@localhost", "list@localhost", self.joe,
                      "x@away.test", f"{self.user.name}-command@localhost"]
        with smtplib.SMTP("127.0.0.1", self.mail.smtp, timeout=60) as smtp:
            assert smtp.sendmail("s@a.example", recipients, "Subject: x\r\n\r\nx\r\n") == {}
        self.mail.wait(lambda: self.user.messages() and self.other.messages() and self.mail.messages(self.joe))
        self.mail.wait(lambda: os.listdir(f"{maildir}/new"))
        self.mail.wait(lambda: "deferral:" in self.mail.log() and proc.of(self.home, "except"))
        with contextlib.suppress(poplib.error_proto):       # failed logins are counted
            wrong = poplib.POP3("127.0.0.1", self.mail.pop3, timeout=60)
            wrong.user(self.other.name)
            wrong.pass_("wrong")
        pop3 = poplib.POP3("127.0.0.1", self.mail.pop3, timeout=60)
        pop3.user(self.user.name)
        pop3.pass_(self.user.password)
        return pop3

    @staticmethod
    def mine(person, name, text):
        path = f"{person.home}/{name}"
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o600)
        shutil.chown(path, person.name)

    # ------------------------------------------------------------ who there is

    def roles(self):
        """{role: Process}, None while some are missing."""
        names = {self.user.uid: "", self.owner.uid: " of a domain", uid("alias"): " as alias"}
        everybody = proc.of(self.home)
        family = self.started.family(everybody)
        found = by_hand.roles(self.started, [process for process in everybody if process.pid in family])
        processes = [process for process in everybody if process.pid not in family]
        for name in ("qmail-qmtpd", "qmail-qmqpd"):
            for process in [process for process in processes if process.program == name]:
                found[f"{name} worker" if process.no_new_privs else name] = process
        found |= {"a .qmail command": process for process in processes if process.program == "except"}
        checks = logins(processes)
        found |= checks
        kinds = by_role([process for process in processes if process not in checks.values()
                         and process.program not in ("qmail-qmtpd", "qmail-qmqpd", "except")])
        for kind, name in KINDS.items():
            if kind in ("warm", "rcptlook"):
                found |= {f"{name}{names[process.uid]}": process for process in kinds[kind] if process.uid in names}
            elif kinds[kind]:
                found[name] = kinds[kind][-1]
        self.missing = [name for name in promised.ROLES if name not in found or not self.begun(name, found[name])]
        return None if self.missing else found

    @staticmethod
    def begun(name, process):
        """True unless it has yet to be started, or confined: seccomp is the last step of that."""
        if not int(process.status["SigCgt"], 16) >> signal.SIGUSR1 - 1 & 1:
            return False
        return name not in promised.CONFINED or "seccomp" in sandbox.missing() or int(process.status["Seccomp"]) == 2

    # ------------------------------------------------------------ what they try

    def targets(self):
        """[[kind, target, how]] but for the processes."""
        home, queue = self.home, f"{self.home}/queue"
        [message] = [f"{where}/{name}" for where, _, names in os.walk(f"{queue}/mess") for name in names]
        number = message.removeprefix(f"{queue}/mess/")
        split = number.split("/")[0]
        directories = {
            "queue/": queue,
            **{f"queue/{name}/": f"{queue}/{name}" for name in ("pid", "intd", "todo", "bounce", "lock")},
            **{f"queue/{name}/": f"{queue}/{name}/{split}" for name in ("mess", "info", "local", "remote")},
            **{f"{name}/": f"{home}/{name}" for name in ("bin", "pyqmail", "control", "users", "run", "run/qmail-queue",
                                                         "run/qmail-rcptcheck", "run/qmail-send", "alias", "log")},
            "log/send/": f"{home}/log/send", "~alias/Maildir/new/": f"{home}/alias/Maildir/new",
            "~user/": self.user.home, "~user/Maildir/new/": f"{self.user.home}/Maildir/new",
            "~another/": self.other.home, "~another/Maildir/new/": f"{self.other.home}/Maildir/new",
            "VPOPHOME/": self.mail.place, "VPOPHOME/domains/": f"{self.mail.place}/domains", "domain/": self.top,
            "domain/joe/Maildir/new/": f"{self.mail.user_directory(self.joe)}/Maildir/new",
            "/etc/": "/etc", "/tmp/": "/tmp", "/root/": "/root", "/": "/",
        }
        files = {
            **{f"queue/{name}/message": f"{queue}/{name}/{number}" for name in ("mess", "info", "remote")},
            **{f"queue/lock/{name}": f"{queue}/lock/{name}" for name in ("sendmutex", "trigger", "tcpto")},
            **{name: f"{home}/{name}" for name in (
                "bin/qmail-send", "pyqmail/base/prot.py", "control/me", "users/cdb", "run/login-failures",
                "log/send/current", "alias/.qmail-list")},
            "~another/Maildir/new/message": only(f"{self.other.home}/Maildir/new"),
            "~another/.profile": f"{self.other.home}/.profile",
            "domain/vpasswd": f"{self.top}/vpasswd", "domain/vpasswd.cdb": f"{self.top}/vpasswd.cdb",
            "/etc/passwd": "/etc/passwd", "/etc/shadow": "/etc/shadow",
        }
        self.mine(self.other, ".profile", "")
        return [
            *(["a_directory", name, path] for name, path in directories.items()),
            *(["a_file", name, path] for name, path in files.items()),
            ["a_unix_socket", "run/qmail-queue/socket", f"{home}/run/qmail-queue/socket"],
            ["a_unix_socket", "run/qmail-rcptcheck/socket", f"{home}/run/qmail-rcptcheck/socket"],
            ["tcp", "TCP connections", self.mail.smtp], ["udp", "UDP", self.mail.smtp],
            ["listening", "TCP port, listening", free_port()], ["listening", "TCP port below 1024, listening", 0],
            ["a_program", "other programs", "/bin/true"], ["new_rights", "rights of set-uid programs", 0],
            ["a_child", "new processes", 0], *CALLS,
        ]

    def ask(self, roles, targets):
        """{role: {target: letters}}: all of them have tried everything."""
        low = next(target for target in targets if target[1].startswith("TCP port below"))
        low[2] = next(port for port in range(1023, 500, -1) if is_free(port))
        slots = {process.pid: number for number, process in enumerate(roles.values())}
        for kind, _, path in targets:
            if kind == "a_directory":
                for number in slots.values():
                    owned_like(path, f"{path}/.removed-{number}")
        targets += [["a_process", f"process {name}", process.pid] for name, process in roles.items()]
        orders = json.dumps({"slots": slots, "targets": targets}).encode()
        assert len(orders) < planted.ORDERS - 8
        try:
            with open(f"{self.home}/planted.area", "r+b", buffering=0) as area:
                os.pwrite(area.fileno(), len(orders).to_bytes(8, "little") + orders, 0)

                def answer(number):
                    head = planted.ORDERS + planted.SLOT * number
                    length = int.from_bytes(os.pread(area.fileno(), 8, head), "little")
                    return json.loads(os.pread(area.fileno(), length, head + 8)) if length else None
                found = {}
                for name, process in in_turn(roles):
                    os.kill(process.pid, signal.SIGUSR1)
                    found[name] = self.mail.wait(lambda process=process: answer(slots[process.pid]))
                return found
        finally:
            for kind, _, path in targets:
                if kind == "a_directory":
                    for number in slots.values():
                        for name in (f"{path}/.removed-{number}", f"{path}/.made-{number}"):
                            with contextlib.suppress(FileNotFoundError):
                                os.unlink(name)


def logins(processes):
    """{role: Process} of a login by POP3 that is being checked."""
    root = [process for process in processes if process.program == "qmail-popup" and process.uid == 0]
    pids = {process.pid for process in root}
    below = [process for process in root if process.parent in pids]
    return {"qmail-popup, password check" if process.parent in {each.pid for each in below} else "qmail-popup, a login":
            process for process in below}


# role in tests/peers/roles.py: its name in the table
KINDS = {
    "qmailctl": "qmailctl supervise", "qmail-log": "qmail-log", "qmail-send": "qmail-send",
    "qmail-clean": "qmail-clean",
    "rguardian": "qmail-rspawn, guardian", "qmail-rspawn": "qmail-rspawn", "lspawn": "qmail-lspawn", "resolver": "qmail-lspawn, look-ups",
    "warm": "qmail-local", "guardian": "qmail-queue, guardian", "service": "qmail-queue, worker",
    "smtpd": "qmail-smtpd", "smtpworker": "qmail-smtpd worker", "rcptcheck": "qmail-rcptcheck",
    "rcptfront": "qmail-rcptcheck, front", "rcptresolver": "qmail-rcptcheck, look-ups",
    "rcptlook": "qmail-rcptcheck look",
    "authenticator": "qmail-popup, authenticator", "front": "qmail-popup", "popworker": "qmail-popup worker",
    "pop3d": "qmail-pop3d",
}

def in_turn(roles):
    """(role, Process), one after the other: they look at each other. The worker of the queue service takes any
    signal for the one that ends it, so it comes last."""
    return sorted(roles.items(), key=lambda item: item[0] == "qmail-queue, worker")


def only(directory):
    [name] = [name for name in os.listdir(directory) if not name.startswith(".")]
    return f"{directory}/{name}"


def owned_like(directory, path):
    """A file in it that belongs to the directory's owner."""
    found = os.stat(directory)
    with open(path, "xb") as f:
        os.fchown(f.fileno(), found.st_uid, found.st_gid)


def hard_limits(pid):
    """[bytes of data, processes, bytes of a core file], None for no limit."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        found = {line[:25].strip(): line[25:].split()[1] for line in f}
    return [int(word) if (word := found[name]).isdigit() else None for name in (
        "Max data size", "Max processes", "Max core file size")]


def is_free(port):
    import socket
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def anybody():
    """Of what depends on the kernel, the targets that an ordinary process on this machine can use."""
    code = f"""
import json, os, sys
sys.path.insert(0, {os.path.dirname(planted.__file__)!r})
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
import planted
print(json.dumps([name for kind, name, how in {CALLS!r} if any(yes for _, yes in planted.KINDS[kind](how, 0))]))
"""
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def place(another_vpophome, open_place, install):
    smtp, pop3, qmtp, qmqp = free_port(), free_port(), free_port(), free_port()
    home = install(f"{open_place}/privileges/home", "--smtp", f"127.0.0.1:{smtp}", "--pop3", f"127.0.0.1:{pop3}")
    for name, text in {"qmtplisten": f"127.0.0.1:{qmtp}", "qmqplisten": f"127.0.0.1:{qmqp}",
                       "qmqpservers": "127.0.0.1", "smtproutes": "away.test:127.0.0.1:9",
                       "tcp.smtp": '127.0.0.1:allow,RELAYCLIENT=""'}.items():
        with open(f"{home}/control/{name}", "w", encoding="ascii") as f:
            f.write(f"{text}\n")
    mail = Virtual(System(home, smtp, pop3), another_vpophome)
    people = []                     # user, other, owner, caller
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            people.append(Person(f"pyq{os.urandom(4).hex()}", f"Pw-{os.urandom(6).hex()}"))
            os.chmod(people[-1].home, 0o700)
            people[-1].uid = os.stat(people[-1].home).st_uid
            stack.callback(people[-1].remove)
        for words in (("cdb",), ("vpopmail",)):
            status, output = mail.ctl(*words)
            assert status == 0, output
        plant(home)
        found = Place(mail, *people[:3])
        found.caller = people[3]
        stack.callback(mail.remove, found.domain)
        stack.callback(mail.ctl, "stop")
        status, output = mail.ctl("start")
        assert status == 0, output + mail.log()
        yield found


@pytest.fixture(scope="module")
def measured(place):
    """{role: {target: letters}}."""
    pop3 = place.prepare()
    targets = place.targets()
    place.started = by_hand.start(place, place.caller)
    try:
        by_hand.logins(place.started, place)
        roles = place.mail.wait(place.roles, 120)
        place.limits = {name: hard_limits(process.pid) for name, process in roles.items()}
        return place.ask(roles, targets)
    except AssertionError as why:
        raise AssertionError(f"not there, or not ready: {place.missing}") from why
    finally:
        pop3.close()
        place.started.close()
        sleeping = [process.pid for process in proc.of(place.home, "except")]
        for pid in sleeping:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                children = f.read().split()
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGTERM)
