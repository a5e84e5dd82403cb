"""A private pyqmail: laid by the checkout's own installer, with its default settings but for the limits."""
import os
import shutil
import site
import subprocess
import sys

from .. import load, processes
from . import DOMAIN, INCOMING, LOCAL, REMOTE, SINK, write

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = "/usr/bin/python3"
SPLIT = 23
SETTINGS = {"me": DOMAIN, "locals": DOMAIN, "rcpthosts": DOMAIN, "smtproutes": f":127.0.0.1:{SINK}",
            "concurrencylocal": LOCAL, "concurrencyremote": REMOTE, "concurrencyincoming": INCOMING,
            "concurrencyperip": INCOMING, "maxrecipients": 20_000}


class Pyqmail:
    """`source`: the checkout. `name` and `ports` (SMTP, POP3) tell several apart."""

    def __init__(self, place, source=ROOT, name="pyqmail", ports=(2525, 2110)):
        self.name, self.home, (self.smtp, self.pop3) = name, f"{place}/{name}", ports
        self.sendmail, self.running, self.remote = f"{self.home}/bin/sendmail", False, REMOTE
        words = [PYTHON, "-ISXutf8", f"{source}/bin/qmailctl", "install", "--home", self.home, *libraries(place),
                 "--smtp", f"127.0.0.1:{self.smtp}", "--pop3", f"127.0.0.1:{self.pop3}"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise load.Failed(done.stdout + done.stderr)
        for setting, value in SETTINGS.items():
            self.set(setting, value)

    @property
    def version(self):
        return "Python " + subprocess.run([PYTHON, "-V"], capture_output=True, text=True).stdout.split()[1]

    def set(self, setting, value):
        write(f"{self.home}/control/{setting}", f"{value}\n")

    def qmailctl(self, verb):
        done = subprocess.run([f"{self.home}/bin/qmailctl", verb], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise load.Failed(f"qmailctl {verb}: {done.stdout}{done.stderr}")

    def start(self):
        self.qmailctl("start")
        self.running = True

    def stop(self):
        if self.running:
            self.qmailctl("stop")
            self.running = False

    def use(self, remote):
        if remote != self.remote:
            self.remote = remote
            self.set("concurrencyremote", remote)
            self.qmailctl("restart")

    def queued(self):
        """How many files stand for messages, or parts of them."""
        return sum(len(os.listdir(f"{self.home}/queue/{name}")) for name in
                   ("todo", "intd", *(f"{kind}/{n}" for n in range(SPLIT) for kind in ("info", "mess"))))

    def program(self, pid):
        prefix = f"{self.home}/bin/"
        names = [word.removeprefix(prefix) for word in processes.command(pid) if word.startswith(prefix)]
        return names[0] if names else None


def libraries(place):
    """Options for the installer: the libraries of the Python that runs this, or of tests/run, readable by everybody;
    none if it shall get them itself."""
    found = site.getsitepackages() if sys.prefix != sys.base_prefix else []
    found = found or [path for path in (f"{ROOT}/.venv/lib/{version()}/site-packages",) if os.path.isdir(path)]
    if not found:
        return []
    if not os.path.isdir(f"{place}/libraries"):
        for source in filter(os.path.isdir, found):
            shutil.copytree(source, f"{place}/libraries/lib/{version()}/site-packages", dirs_exist_ok=True, ignore=shutil.
                            ignore_patterns("pip*", "setuptools*", "_pytest", "hypothesis", "sqlalchemy", "__pycache__"))
        subprocess.run(["chmod", "-R", "a+rX", f"{place}/libraries"], check=True)
    return ["--venv", f"{place}/libraries"]


def version():
    return "python%d.%d" % sys.version_info[:2]
