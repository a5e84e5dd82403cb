"""A machine of its own for the system under test: namespaces, accounts, QMAILHOME, all below one directory.

The same path is another disk, and the same port another network, in each of the namespaces, so that a copy of the
disk finds everything where it was. When the process that begin() started ends, all in it ends, as in a power cut.
"""
import os
import pwd
import shutil
import signal
import struct
import subprocess
import sys
import time

from pyqmail.auth import hashes
from pyqmail.base import accounts
from tests.powercut import disk

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = "/usr/bin/python3"
SMTP, POP3, FAR, QMTP, QMQP = 2525, 1110, 2526, 2209, 2628      # ports of 127.0.0.1 in its own network
DOMAIN, VIRTUAL, REMOTE = "mail.example", "virt.example", "far.example"
IN_SQL, LARGE = "sql.example", "large.example"  # virtual, too: accounts in SQLite; very many
MANY = 3000                                     # so many that vpasswd.cdb is changed in place
PASSWORD = "Correct-Horse-9"
FIRST_UID = 64300
#          user     .qmail
USERS = {
    "joe": None,                                # ./Maildir/, as boot/home says
    "sue": None,                                # gets bounces
    "mike": "./Mailbox\n",
    "fred": "&joe@mail.example\n",
    "lisa": "&joe@mail.example\n./Maildir/\n&sue@mail.example\n",
    "pat": None,                                # reads it by POP3
    "mora": None,                               # has it moved from a spool into an mbox at home
}
SYSTEM_READER, MOVER = "pat", "mora"
READERS = ("pop0", "pop1")                      # virtual users whose mail is fetched and deleted
RECEIVERS = ("ann", "bob")                      # virtual users whose mail stays
WITHIN = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


class World:
    """Everything below `place`: disk/var and disk/home are mounted, code is the programs, etc its accounts."""

    def __init__(self, place):
        self.place = place
        self.disk, self.code = f"{place}/disk", f"{place}/code"
        self.home, self.homes = f"{self.disk}/var/qmail", f"{self.disk}/home"
        self.vpop = f"{self.homes}/vpopmail"
        self.spool, self.database = f"{self.disk}/var/spool", f"{self.vpop}/etc/accounts.db"

    # ------------------------------------------------------------ once

    def prepare(self, libraries):
        """The directories, the libraries, and accounts that only the namespaces see."""
        for name in ("disk/var", "disk/home", "code", "etc", "machine", "codes"):
            os.makedirs(f"{self.place}/{name}")
        os.symlink(libraries, f"{self.place}/venv")
        self.write_accounts()

    def write_accounts(self):
        def lines(name):
            with open(f"/etc/{name}", encoding="utf-8") as f:
                return {line.split(":")[0]: line.rstrip("\n") for line in f}
        for name in set(os.listdir("/etc")) - {"passwd", "group", "shadow"}:
            os.symlink(f"{self.place}/machine/{name}", f"{self.place}/etc/{name}")
        passwd, group, shadow = lines("passwd"), lines("group"), lines("shadow")
        numbers = iter(range(FIRST_UID, FIRST_UID + 100))
        for name in (*accounts.GROUPS, "vchkpw"):
            group.setdefault(name, f"{name}:x:{next(numbers)}:")
        gids = {name: line.split(":")[2] for name, line in group.items()}
        for name, own in (*accounts.ROLES, ("vpopmail", "vchkpw")):
            uid = passwd[name].split(":")[2] if name in passwd else next(numbers)
            where = {"alias": f"{self.home}/alias", "vpopmail": self.vpop}.get(name, self.home)
            passwd[name] = f"{name}:x:{uid}:{gids[own]}::{where}:/usr/sbin/nologin"
        for name in USERS:
            number = next(numbers)
            passwd[name] = f"{name}:x:{number}:{number}::{self.homes}/{name}:/bin/sh"
            group[name] = f"{name}:x:{number}:"
            field = hashes.crypt(PASSWORD.encode(), b"$1$saltsalt$").decode() if name == SYSTEM_READER else "*"
            shadow[name] = f"{name}:{field}:19000:0:99999:7:::"
        for name, found, mode in (("passwd", passwd, 0o644), ("group", group, 0o644), ("shadow", shadow, 0o600)):
            with open(f"{self.place}/etc/{name}", "w", encoding="utf-8") as f:
                f.write("\n".join(found.values()) + "\n")
                os.fchmod(f.fileno(), mode)

    def add_code(self, name, change=lambda package: None):
        """A copy of this checkout's package under a name; change(directory of the package) alters it."""
        package = f"{self.place}/codes/{name}/pyqmail"
        shutil.copytree(f"{ROOT}/pyqmail", package, ignore=shutil.ignore_patterns("__pycache__"))
        change(package)
        disk.run(PYTHON, "-m", "compileall", "-q", package)

    def uid(self, name):
        with open(f"{self.place}/etc/passwd", encoding="utf-8") as f:
            return next(int(line.split(":")[2]) for line in f if line.startswith(f"{name}:"))

    # ------------------------------------------------------------ inside

    def begin(self, words, **options):
        """Start `python -m tests.powercut.inside PLACE …` in new namespaces; the Popen."""
        return subprocess.Popen([*WITHIN, sys.executable, "-m", "tests.powercut.inside", self.place, *words], cwd=ROOT,
                                stdin=subprocess.DEVNULL, **options)

    def enter(self, code):
        """Inside, first of all: these accounts, this code, a network."""
        # All of /etc: a single file that is replaced outside would no longer be covered in here.
        disk.run("mount", "--bind", "/etc", f"{self.place}/machine")
        disk.run("mount", "--bind", f"{self.place}/etc", "/etc")
        assert pwd.getpwnam("vpopmail").pw_dir == self.vpop, "the machine's own accounts show through"
        disk.run("mount", "--bind", f"{self.place}/codes/{code}", self.code)
        loopback_up()
        os.umask(0o022)

    def as_user(self, name):
        """Options of run() to be that user."""
        uid = self.uid(name)
        return {"user": uid, "group": uid, "extra_groups": []}

    def run(self, program, *words, environ={}, **options):
        """Run one of the installation's programs; the CompletedProcess."""
        options = {"stdin": subprocess.DEVNULL, **({} if "input" not in options else {"stdin": None}), **options}
        return subprocess.run([f"{self.home}/bin/{program}", *words], capture_output=True,
                              env={"PATH": "/usr/bin:/bin", **environ}, **options)

    def enqueue(self, text, envelope, **options):
        """Run bin/qmail-queue; the CompletedProcess."""
        descriptors = []
        try:
            for data in (text, envelope):
                descriptors.append(os.memfd_create("input"))
                os.write(descriptors[-1], data)
                os.lseek(descriptors[-1], 0, os.SEEK_SET)
            return subprocess.run([f"{self.home}/bin/qmail-queue"], stdin=descriptors[0], stdout=descriptors[1],
                                  stderr=subprocess.PIPE, env={"PATH": "/usr/bin:/bin"}, **options)
        finally:
            for fd in descriptors:
                os.close(fd)

    def manager(self):
        """The pid of qmail-send."""
        with open(f"{self.home}/run/send.pid", encoding="ascii") as f:
            return int(f.read().split()[0])

    def must(self, program, *words, **options):
        done = self.run(program, *words, **options)
        assert done.returncode == 0, (program, words, done)
        return done

    def install(self):
        """Onto the mounted, empty disk: QMAILHOME, users, a virtual domain with users; nothing runs afterwards."""
        disk.run(PYTHON, "-ISXutf8", f"{ROOT}/bin/qmailctl", "install", "--home", self.home, "--venv",
                 f"{self.place}/venv", "--smtp", f"127.0.0.1:{SMTP}", "--pop3", f"127.0.0.1:{POP3}")
        shutil.rmtree(f"{self.home}/pyqmail")
        os.symlink(f"{self.code}/pyqmail", f"{self.home}/pyqmail")
        for name, text in {
                "me": DOMAIN, "locals": DOMAIN, "rcpthosts": DOMAIN, "smtproutes": f"{REMOTE}:[127.0.0.1]:{FAR}",
                "tcp.smtp": '127.:allow,RELAYCLIENT=""', "pop3checker": "vchkpw qmail-pop3d Maildir",
                "tcp.qmtp": '127.:allow,RELAYCLIENT=""', "tcp.qmqp": "127.:allow",
                "qmtplisten": f"127.0.0.1:{QMTP}", "qmqplisten": f"127.0.0.1:{QMQP}",
                "defaultdomain": "example", "plusdomain": "example"}.items():
            with open(f"{self.home}/control/{name}", "w", encoding="ascii") as f:
                f.write(text + "\n")
        self.must("qmailctl", "cdb")
        for name, dotqmail in USERS.items():
            uid, where = self.uid(name), f"{self.homes}/{name}"
            os.mkdir(where, 0o755)
            disk.run(f"{self.home}/bin/maildirmake", f"{where}/Maildir")
            if dotqmail is not None:
                with open(f"{where}/.qmail", "w", encoding="ascii") as f:
                    f.write(dotqmail)
            disk.run("chown", "-R", f"{uid}:{uid}", where)
        disk.run(f"{self.home}/bin/maildirmake", self.spool)
        disk.run("chown", "-R", MOVER, self.spool)
        with open(f"{self.homes}/{MOVER}/.qmail", "w", encoding="ascii") as f:
            f.write(f"{self.spool}/\n")
        alias = f"{self.home}/alias"
        for name, text in {"postmaster": "./Maildir/\n", "later": "|exit 111\n",
                           "nobody-default": "|echo nobody; exit 100\n"}.items():
            with open(f"{alias}/.qmail-{name}", "w", encoding="ascii") as f:
                f.write(text)
        self.must("qmailctl", "vpopmail")
        with open(f"{self.vpop}/options", "w", encoding="ascii") as f:
            f.write("password-hash md5\npasswd yes\n")         # quick: hundreds are compared; pat logs in as well
        self.must("qmailctl", "vpopmail", "--sql", input=f"sqlite:///{self.database}\n".encode())
        for domain in (VIRTUAL, IN_SQL, LARGE):
            self.must("vadddomain", domain, PASSWORD)
        for name in (*READERS, *RECEIVERS):
            self.must("vadduser", f"{name}@{VIRTUAL}", PASSWORD)
        self.must("vconvert", "-c", "-m", IN_SQL)
        with open(f"{self.vpop}/domains/{LARGE}/vpasswd", "a", encoding="ascii") as f:
            for number in range(MANY):          # none of them has ever had mail
                name = f"z{number:04}"
                f.write(f"{name}:{'x' * 34}:1:0:{name}:{self.vpop}/domains/{LARGE}/{name}:NOQUOTA:\n")
        self.must("vmkpasswd", LARGE)

    def queue_manager(self):
        """Start queue and deliveries alone; the Popen of qmail-send. Cheaper than all services, for one who only
        wants to see the queue finished."""
        return subprocess.Popen([f"{self.home}/bin/qmailctl", "run", "send"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"})

    def wake(self, pid):
        """Have qmail-send try everything now, if it is up to it."""
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            caught = next(int(line.split()[1], 16) for line in f if line.startswith("SigCgt:"))
        if caught >> (signal.SIGALRM - 1) & 1:
            os.kill(pid, signal.SIGALRM)


def loopback_up():
    import fcntl
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))    # SIOCSIFFLAGS: up, running


def until(ready, seconds=60, pause=0.02):
    """ready() as soon as it is true; None when it does not become so."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        if time.monotonic() > end:
            return None
        time.sleep(pause)
    return found
