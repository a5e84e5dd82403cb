"""A C qmail that is there already: its programs, in an installation of the run's own.

`directory` holds them (or its bin/ does). Where they believe to be was compiled into them, and qmail-showctl tells;
a copy of the programs with a queue, made after our own table, is laid over that place, which only the run sees. It is
started as its documents say: qmail-start, and tcpserver of ucspi-tcp before qmail-smtpd.
"""
import os
import shutil
import subprocess

from .. import load, processes
from . import DOMAIN, INCOMING, LOCAL, REMOTE, SINK, write

SPLIT = 23
NAMES = ("clean", "getpw", "inject", "local", "lspawn", "queue", "remote", "rspawn", "send", "showctl", "smtpd",
         "start")
SETTINGS = {"me": DOMAIN, "locals": DOMAIN, "rcpthosts": DOMAIN, "smtproutes": f":127.0.0.1:{SINK}",
            "concurrencylocal": LOCAL, "concurrencyremote": REMOTE}
#      directory                        owner     group    mode
TREE = (("alias", "alias", "qmail", 0o2755), ("bin", "root", "qmail", 0o755), ("control", "root", "qmail", 0o755),
        ("users", "root", "qmail", 0o755), ("queue", "qmailq", "qmail", 0o750),
        ("queue/bounce", "qmails", "qmail", 0o700), ("queue/intd", "qmailq", "qmail", 0o700),
        ("queue/lock", "qmailq", "qmail", 0o750), ("queue/pid", "qmailq", "qmail", 0o700),
        ("queue/todo", "qmailq", "qmail", 0o750))
SPLIT_TREE = (("queue/mess", "qmailq", "qmail", 0o750), ("queue/info", "qmails", "qmail", 0o700),
              ("queue/local", "qmails", "qmail", 0o700), ("queue/remote", "qmails", "qmail", 0o700))


class CQmail:
    name, smtp, pop3, version = "c-qmail", 2529, None, "as it was found"

    def __init__(self, place, directory):
        programs = f"{directory}/bin" if os.path.isdir(f"{directory}/bin") else directory
        shown = subprocess.run([f"{programs}/qmail-showctl"], capture_output=True, text=True).stdout
        self.home = shown.partition("qmail home directory: ")[2].partition("\n")[0].rstrip(".")
        if not os.path.isdir(self.home):
            raise load.Failed(f"the programs in {programs} want to be in {self.home!r}")
        ours, self.log = f"{place}/c-qmail", f"{place}/c-qmail.log"
        self.server = self.mail = None
        self.remote = REMOTE
        self._lay(ours, programs)
        subprocess.run(["mount", "--bind", ours, self.home], check=True)
        self.sendmail = f"{self.home}/bin/sendmail"

    @staticmethod
    def _lay(home, programs):
        os.mkdir(home, 0o755)
        parts = ((f"{path}{part}", *rest) for path, *rest in SPLIT_TREE
                 for part in ("", *(f"/{n}" for n in range(SPLIT))))
        for path, owner, group, mode in (*TREE, *parts):
            os.mkdir(f"{home}/{path}")
            shutil.chown(f"{home}/{path}", owner, group)
            os.chmod(f"{home}/{path}", mode)
        for name in (*(f"qmail-{name}" for name in NAMES), "sendmail"):
            shutil.copy(f"{programs}/{name}", f"{home}/bin/{name}")
            os.chmod(f"{home}/bin/{name}", 0o755)
        shutil.chown(f"{home}/bin/qmail-queue", "qmailq", "qmail")
        os.chmod(f"{home}/bin/qmail-queue", 0o4711)
        lock = f"{home}/queue/lock"
        os.mkfifo(f"{lock}/trigger")
        write(f"{lock}/sendmutex", "")
        write(f"{lock}/tcpto", "\0" * 1024)
        for name, owner, mode in (("trigger", "qmails", 0o622), ("sendmutex", "qmails", 0o600),
                                  ("tcpto", "qmailr", 0o644)):
            shutil.chown(f"{lock}/{name}", owner, "qmail")
            os.chmod(f"{lock}/{name}", mode)
        for setting, value in SETTINGS.items():
            write(f"{home}/control/{setting}", f"{value}\n")

    def start(self):
        with open(self.log, "ab") as log:
            self.mail = subprocess.Popen(
                [f"{self.home}/bin/qmail-start", "./Maildir/", "/bin/cat"], cwd="/", stdin=subprocess.DEVNULL,
                stdout=log, env={"PATH": f"{self.home}/bin:/usr/bin:/bin"})
            self.server = subprocess.Popen(
                ["tcpserver", "-H", "-R", "-l", "0", "-c", str(INCOMING), "-u", uid("qmaild"),
                 "-g", uid("qmaild", "-g"), "127.0.0.1", str(self.smtp), f"{self.home}/bin/qmail-smtpd"],
                stdin=subprocess.DEVNULL, stderr=log, env={**os.environ, "RELAYCLIENT": ""})
        load.until(lambda: load.connects(self.smtp), "tcpserver", 60)

    def stop(self):
        for process in filter(None, (self.server, self.mail)):
            process.terminate()
            process.wait()
        self.server = self.mail = None

    def use(self, remote):
        if remote != self.remote:
            self.remote = remote
            write(f"{self.home}/control/concurrencyremote", f"{remote}\n")
            self.stop()
            self.start()

    def queued(self):
        return sum(len(os.listdir(f"{self.home}/queue/{name}")) for name in
                   ("todo", "intd", *(f"{kind}/{n}" for n in range(SPLIT) for kind in ("info", "mess"))))

    def program(self, pid):
        words = processes.command(pid)
        name = os.path.basename(words[0]) if words else ""
        return name if name == "tcpserver" or processes.executable(pid).startswith(f"{self.home}/bin/") else None


def uid(name, option="-u"):
    return subprocess.run(["id", option, name], capture_output=True, text=True, check=True).stdout.strip()
