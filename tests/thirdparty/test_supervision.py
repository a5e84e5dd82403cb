"""Every daemon of ours kept by daemontools and by s6, in the run scripts people have for qmail, their logs by
multilog and s6-log."""
import os
import pwd
import smtplib
import socket
import subprocess

import pytest

from tests.peers import proc
from tests.peers.ports import free_port
from tests.thirdparty.conftest import HOME, tool

pytestmark = [pytest.mark.root, pytest.mark.system]
QMAILD, NOFILES = "$(id -u qmaild)", "$(getent group nofiles | cut -d: -f3)"


class Kept:
    """Services below `directory` of an installation in its namespace, kept by one of the two suites."""

    def __init__(self, host, suite):
        self.host, self.suite = host, suite
        self.directory = f"{host.place}/service"
        self.ports = {name: free_port() for name in ("smtp", "pop3", "qmtp", "qmqp")}
        for name in ("qmtp", "qmqp"):
            self.ports[f"listening {name}"] = free_port()
            with open(f"{host.home}/control/{name}listen", "w", encoding="ascii") as f:
                f.write(f"127.0.0.1:{self.ports[f'listening {name}']}\n")
        self.ports |= {"listening smtp": host.system.smtp, "listening pop3": host.system.pop3}
        run, log = {"daemontools": ("setuidgid", "multilog"), "s6": ("s6-setuidgid", "s6-log")}[suite]
        server = f"tcpserver -HRl localhost -c 20 -u {QMAILD} -g {NOFILES} 127.0.0.1"
        self.scripts = {
            # boot/home, with the suite's logger run by qmail-start
            "send": f'exec env - PATH="{HOME}/bin:$PATH" \\\n'
                    f"qmail-start ./Maildir/ {log} t n5 s1000000 {host.place}/log",
            "smtpd": f"exec softlimit -d 300000000 {server} {self.ports['smtp']} {HOME}/bin/qmail-smtpd",
            "qmtpd": f"exec envdir ./env {server} {self.ports['qmtp']} {HOME}/bin/qmail-qmtpd",
            "qmqpd": f"exec {server} {self.ports['qmqp']} {HOME}/bin/qmail-qmqpd",
            "pop3d": f"exec setlock -n {host.place}/lock tcpserver -HRl localhost 127.0.0.1 {self.ports['pop3']} "
                     f"{HOME}/bin/qmail-popup pop.example checkpassword {HOME}/bin/qmail-pop3d Maildir",
            "rcptcheck": f"exec {HOME}/bin/qmailctl run rcptcheck",
            **{f"listening-{name}": f"exec {HOME}/bin/qmailctl run {name}"
               for name in ("smtpd", "pop3d", "qmtpd", "qmqpd")},
        }
        owner = pwd.getpwnam("qmaill")
        for name, script in self.scripts.items():
            self.script(f"{name}/run", script if name == "send" else f"exec 2>&1\n{script}")
            if name != "send":
                self.script(f"{name}/log/run", f"exec {run} qmaill {log} t ./main")
        os.mkdir(f"{self.directory}/qmtpd/env")
        logs = [f"{self.directory}/{name}/log/main" for name in self.scripts if name != "send"]
        for where in (f"{host.place}/log", *logs):
            os.mkdir(where, 0o755)
            os.chown(where, owner.pw_uid, owner.pw_gid)

    def script(self, name, text):
        os.makedirs(os.path.dirname(f"{self.directory}/{name}"), exist_ok=True)
        with open(f"{self.directory}/{name}", "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\n{text}\n")
        os.chmod(f.name, 0o755)

    def log(self, name):
        path = f"{self.host.place}/log" if name == "send" else f"{self.directory}/{name}/log/main"
        return self.host.read(f"{path}/current").decode() if os.path.exists(f"{path}/current") else ""

    def pid(self, name):
        """The pid of a service, None if it is down."""
        if self.suite == "daemontools":
            words = self.host.run("svstat", f"{self.directory}/{name}", text=True).stdout.split()
            return int(words[3].rstrip(")")) if words[1] == "up" else None
        found = int(self.host.run("s6-svstat", "-o", "pid", f"{self.directory}/{name}", text=True).stdout or -1)
        return found if found > 0 else None

    def told_to_end(self, name):
        """True once the service has got its TERM."""
        if self.suite == "daemontools":
            return b", want down" in self.host.run("svstat", f"{self.directory}/{name}").stdout
        return self.host.run("s6-svstat", "-o", "wantedup", f"{self.directory}/{name}").stdout == b"false\n"

    def control(self, name, letters):
        svc = {"daemontools": "svc", "s6": "s6-svc"}[self.suite]
        done = self.host.run(svc, f"-{letters}", f"{self.directory}/{name}")
        assert (done.returncode, done.stderr) == (0, b""), done

    def answers(self, name):
        """A client of this service gets what the protocol begins with, or is kept waiting for its own first word."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports[name]), timeout=60) as client:
                return not name.endswith(("smtp", "pop3")) or client.recv(3) in (b"220", b"+OK")
        except OSError:
            return False

    def up(self):
        """True when every service runs and answers."""
        missing = [name for name in self.scripts if not self.pid(name)]
        missing += [name for name in self.ports if not self.answers(name)]
        missing += ["checks"] * (self.host.run(f"{HOME}/bin/qmail-rcptcheck", "postmaster").returncode == 111)
        print("missing:", missing)
        return not missing and "status: local 0/" in self.log("send")


@pytest.fixture(scope="module", params=["daemontools", "s6"])
def kept(place, request):
    scan = {"daemontools": "svscan", "s6": "s6-svscan"}[request.param]
    tool(scan, request.param), tool("multilog", "daemontools")
    kept = Kept(place(), request.param)
    with kept.host.daemon(scan, kept.directory, ready=lambda: os.path.exists(f"{kept.directory}/send/supervise/status"),
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            kept.host.wait(kept.up)
            yield kept
        finally:
            if request.param == "daemontools":          # svscan leaves its supervises alone
                process.terminate()
                process.wait(60)
                for name in kept.scripts:
                    kept.control(name, "dx")
                    if name != "send":
                        kept.control(f"{name}/log", "dx")
            else:
                kept.host.run("s6-svscanctl", "-t", kept.directory)
                process.wait(60)
            kept.host.wait(lambda: not left(kept))


def left(kept):
    """Processes of this installation that still run."""
    return [pid for pid in filter(str.isdigit, os.listdir("/proc")) if in_namespace(pid, kept)]


def in_namespace(pid, kept):
    if int(pid) == kept.host.holder.pid:
        return False
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(f"/proc/{kept.host.holder.pid}/ns/mnt")
    except OSError:
        return False


def test_mail_flows(kept, person):
    host = kept.host
    for name in ("smtp", "listening smtp"):
        with smtplib.SMTP("127.0.0.1", kept.ports[name], timeout=60) as smtp:
            smtp.sendmail("s@a.example", f"{person.name}@localhost", b"Subject: x\r\n\r\nhello\r\n")
    host.wait(lambda: len(person.messages()) == 2)
    host.wait(lambda: kept.log("send").count("end msg") == 2)
    assert all(line.startswith("@4000") for name in kept.scripts for line in kept.log(name).splitlines())


def test_qmailctl_sees_it(kept):
    """Whoever starts it: qmailctl knows what runs."""
    status = kept.host.ctl("stat")[1]
    for name in ("send", "rcptcheck", "listening-smtpd", "listening-pop3d", "listening-qmtpd", "listening-qmqpd"):
        assert f"{name.removeprefix('listening-')}: up (pid {kept.pid(name)})" in status, status


def test_term_finishes_deliveries(kept, person):
    """svc -d: qmail-send ends when the delivery under way has; the message is delivered once."""
    host = kept.host
    os.mkfifo(f"{person.home}/go")
    os.chown(f"{person.home}/go", person.uid, person.gid)
    person.file(".qmail", "|echo started >> started; cat go > /dev/null; echo done >> done\n./Maildir/\n")
    assert host.run(f"{HOME}/bin/sendmail", person.name, input=b"Subject: x\n\nx\n").returncode == 0
    host.wait(lambda: os.path.exists(f"{person.home}/started"))
    seen = len(kept.log("send"))
    try:
        kept.control("send", "d")
        host.wait(lambda: kept.told_to_end("send"))
        assert not os.path.exists(f"{person.home}/done") and kept.pid("send")
    finally:
        assert host.run("sh", "-c", "exec > go", user=person).returncode == 0
    host.wait(lambda: not kept.pid("send"))
    last = [line.split(" ", 1)[1] for line in kept.log("send")[seen:].splitlines()]
    assert last[-1] == "status: exiting" and any(": success: did_" in line for line in last), last
    assert len(person.messages()) == 1
    kept.control("send", "u")
    host.wait(lambda: kept.pid("send") and not host.in_queue())
    assert len(person.messages()) == 1 and host.read(f"{person.home}/started") == b"started\n"


@pytest.mark.parametrize("letter", ["t", "k"])
def test_restarts(kept, person, letter):
    """All services get TERM, or KILL: the next ones are up, mail flows, nothing of those before is left behind."""
    host, old = kept.host, {name: kept.pid(name) for name in kept.scripts}
    for name in kept.scripts:
        kept.control(name, letter)
    host.wait(lambda: all(kept.pid(name) not in (None, old[name]) for name in kept.scripts) and kept.up())
    assert host.run(f"{HOME}/bin/sendmail", person.name, input=b"Subject: x\n\nx\n").returncode == 0
    host.wait(person.messages)
    host.wait(lambda: not strays(kept))


def strays(kept):
    """Processes of services before the present ones."""
    alive = {process.pid: process for process in proc.of(HOME) if in_namespace(process.pid, kept)}
    first = [process for process in alive.values() if process.parent not in alive
             or alive[process.parent].program != process.program]
    services = {kept.pid(name) for name in kept.scripts}
    return [process for process in first if "--listen" in process.words and process.pid not in services] + \
        [name for name in ("qmail-send", "qmail-rspawn", "qmail-clean", "qmail-lspawn", "qmail-queue")
         if sum(process.program == name for process in first) != 1]


def test_alarm(kept, person):
    """svc -a: everything in the queue is tried at once."""
    host = kept.host
    person.file(".qmail", "|echo not yet; exit 111\n")
    assert host.run(f"{HOME}/bin/sendmail", person.name, input=b"Subject: x\n\nx\n").returncode == 0
    host.wait(lambda: ": deferral: not_yet/\n" in kept.log("send"))
    person.file(".qmail", "./Maildir/\n")
    kept.control("send", "a")
    host.wait(person.messages)


def test_hangup(kept, person):
    """svc -h: control/locals is read again, the process goes on."""
    host, before = kept.host, kept.pid("send")
    with open(f"{host.home}/control/locals", "a", encoding="ascii") as f:
        f.write("new.example\n")
    kept.control("send", "h")
    assert host.run(f"{HOME}/bin/sendmail", f"{person.name}@new.example", input=b"Subject: x\n\nx\n").returncode == 0
    host.wait(person.messages)
    assert kept.pid("send") == before
