"""A private Dovecot, from Debian's packages, as a POP3 server: default settings, indexes in the run's directory."""
import os
import shutil
import subprocess

from .. import load, processes
from . import write

CONFIGURATION = """\
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = pop3
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir:INDEX={base}/index/%u:CONTROL={base}/control/%u
first_valid_uid = 1000
passdb {{
  driver = pam
}}
userdb {{
  driver = passwd
}}
service pop3-login {{
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""


class Dovecot:
    name, smtp, pop3, sendmail = "dovecot", None, 2111, None

    def __init__(self, place):
        if not shutil.which("dovecot"):
            raise load.Failed("apt-get install dovecot-pop3d")
        self.base, self.process = f"{place}/dovecot", None
        for name in ("", "/run", "/state", "/index", "/control"):
            os.mkdir(self.base + name, 0o755)
        for name in ("/index", "/control"):
            os.chmod(self.base + name, 0o1777)          # each user makes a directory of his own there
        write(f"{self.base}/dovecot.conf", CONFIGURATION.format(base=self.base, port=self.pop3))

    @property
    def version(self):
        return subprocess.run(["dovecot", "--version"], capture_output=True, text=True).stdout.split()[0]

    def start(self):
        self.process = subprocess.Popen(["dovecot", "-F", "-c", f"{self.base}/dovecot.conf"], stdin=subprocess.DEVNULL)
        load.until(lambda: load.connects(self.pop3), "Dovecot", 60)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    @staticmethod
    def program(pid):
        path = processes.executable(pid)
        return os.path.basename(path) if path.startswith(("/usr/lib/dovecot/", "/usr/sbin/dovecot")) else None
