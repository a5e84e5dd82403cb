"""A private Postfix, from Debian's package: default settings, but for the same limits as the other peers have.

Its configuration stands in /etc/postfix of the run's private /etc, so that sendmail and postdrop find it as they do
anywhere; queue, data and log lie in the run's directory. No chroot, as Postfix has it by default.
"""
import os
import shutil
import subprocess

from .. import load, processes
from . import DOMAIN, INCOMING, LOCAL, REMOTE, SINK, write

PROGRAMS = ("/usr/lib/postfix/sbin/", "/usr/sbin/post", "/usr/sbin/sendmail")
MASTER = """\
127.0.0.1:{smtp} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = {domain}
mydestination = {domain}
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
relayhost = [127.0.0.1]:{sink}
home_mailbox = Maildir/
alias_maps =
alias_database =
biff = no
maillog_file = {base}/log
maillog_file_prefixes = {base}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = {incoming}
smtpd_recipient_limit = 20000
default_process_limit = {incoming}
local_destination_concurrency_limit = {local}
default_destination_concurrency_limit = {remote}
initial_destination_concurrency = {remote}
message_size_limit = 0
mailbox_size_limit = 0
"""


class Postfix:
    name, smtp, pop3, sendmail = "postfix", 2526, None, "/usr/sbin/sendmail"

    def __init__(self, place):
        if not shutil.which("postfix"):
            raise load.Failed("apt-get install postfix")
        self.base, self.running, self.remote = f"{place}/postfix", False, REMOTE
        for name in ("", "/queue", "/data"):
            os.mkdir(self.base + name, 0o755)
        shutil.chown(self.base + "/data", "postfix")
        for name in ("main.cf", "dynamicmaps.cf"):
            write(f"/etc/postfix/{name}", "")
        write("/etc/postfix/master.cf", MASTER.format(smtp=self.smtp))
        write("/etc/postfix/main.cf", MAIN.format(base=self.base, domain=DOMAIN, sink=SINK, incoming=INCOMING,
                                                  local=LOCAL, remote=REMOTE))

    @property
    def version(self):
        return self._run("postconf", "-h", "mail_version").strip()

    def start(self):
        self._run("postfix", "start")
        load.until(lambda: load.connects(self.smtp), "Postfix", 60)
        self.running = True

    def stop(self):
        if self.running:
            self._run("postfix", "stop")
            self.running = False

    def use(self, remote):
        if remote != self.remote:
            self.remote = remote
            self._run("postconf", "-e", f"default_destination_concurrency_limit={remote}",
                      f"initial_destination_concurrency={remote}")
            self.stop()
            self.start()

    def queued(self):
        return sum(len(files) for name in ("maildrop", "incoming", "active", "deferred")
                   for _, _, files in os.walk(f"{self.base}/queue/{name}"))

    @staticmethod
    def program(pid):
        path = processes.executable(pid)
        return os.path.basename(path) if path.startswith(PROGRAMS) else None

    @staticmethod
    def _run(*words):
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise load.Failed(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout
