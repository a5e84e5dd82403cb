"""A private pyqmail: laid by the checkout's own installer, with its default settings but for the limits."""
import os
import shutil
import subprocess
import sys
import tomllib

from .. import load, processes
from . import DOMAIN, INCOMING, LOCAL, REMOTE, SINK, write

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = "/usr/bin/python3"
SPLIT = 23
UNNEEDED = ("pip*", "setuptools*", "_pytest", "hypothesis", "sqlalchemy", "__pycache__")    # of the libraries
SETTINGS = {"me": DOMAIN, "locals": DOMAIN, "rcpthosts": DOMAIN, "smtproutes": f":127.0.0.1:{SINK}",
            "concurrencylocal": LOCAL, "concurrencyremote": REMOTE, "concurrencyincoming": INCOMING,
            "concurrencyperip": INCOMING, "maxrecipients": 20_000}


class Pyqmail:
    """`source`: the checkout. `name` and `ports` (SMTP, POP3) tell several apart."""

    def __init__(self, place, source=ROOT, name="pyqmail", ports=(2525, 2110)):
        self.name, self.home, (self.smtp, self.pop3) = name, f"{place}/{name}", ports
        self.sendmail, self.running, self.remote = f"{self.home}/bin/sendmail", False, REMOTE
        words = [PYTHON, "-ISXutf8", f"{source}/bin/qmailctl", "install", "--home", self.home, "--venv",
                 f"{place}/libraries", "--smtp", f"127.0.0.1:{self.smtp}", "--pop3", f"127.0.0.1:{self.pop3}"]
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
        words = [f"{self.home}/bin/qmailctl", verb]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
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


def prepare(place):
    """Lay the libraries, readable by everybody, in place/libraries, while there is still a network: those of the Python
    that runs this or of tests/run; else they are got as the installer would."""
    version = subprocess.run([PYTHON, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"],
                             check=True, capture_output=True, text=True).stdout.strip()
    found = [path for venv in (sys.prefix, f"{ROOT}/.venv") if os.path.exists(f"{venv}/pyvenv.cfg")
             and os.path.isdir(path := f"{venv}/lib/{version}/site-packages/aiosmtpd")]
    if found:
        shutil.copytree(os.path.dirname(found[0]), f"{place}/libraries/lib/{version}/site-packages",
                        ignore=shutil.ignore_patterns(*UNNEEDED))
    else:
        with open(f"{ROOT}/pyproject.toml", "rb") as f:
            wanted = tomllib.load(f)["project"]["dependencies"]
        subprocess.run([PYTHON, "-m", "venv", f"{place}/libraries"], check=True)
        subprocess.run([f"{place}/libraries/bin/python", "-m", "pip", "install", "-q", *wanted], check=True)
    subprocess.run(["chmod", "-R", "a+rX", f"{place}/libraries"], check=True)
