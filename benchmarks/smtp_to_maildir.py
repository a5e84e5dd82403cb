#!/usr/bin/env python3
"""SMTP to Maildir, end to end, beside Postfix in the same run.

    benchmarks/smtp_to_maildir.py --home QMAILHOME --smtp 127.0.0.1:2525 [--rounds 3] [--messages 2000]

Measures the time from the first connection of smtp-source (2,000 messages of 2,000 bytes over 20
sessions) until the last message lies in the recipient's Maildir/new, alternating between a running
pyqmail installation and a private Postfix made for the run (own configuration, queue and data
directory; nothing of the host's is touched). Prints the ratio of each round: machines are noisy,
single figures say little. Needs root, the Debian package postfix, and makes a user for the run.
"""
import argparse
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

USER = "qmbench"
MASTER = """\
{smtp} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
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
myhostname = bench.example
mydestination = bench.example
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
home_mailbox = Maildir/
alias_maps =
alias_database =
maillog_file = {base}/log
maillog_file_prefixes = {base}
smtpd_relay_restrictions = permit_mynetworks, reject
"""


class Postfix:
    """A private Postfix, running inside the `with`."""

    name = "postfix"

    def __init__(self, address, top):
        self.address, self.base = address, os.path.join(top, "postfix")

    def __enter__(self):
        for name in ("", "/queue", "/data", "/etc"):
            os.mkdir(self.base + name, 0o755)
        shutil.chown(self.base + "/data", "postfix")
        self._write("etc/main.cf", MAIN.format(base=self.base))
        self._write("etc/master.cf", MASTER.format(smtp=self.address))
        for name in ("dynamicmaps.cf",):
            self._write("etc/" + name, "")
        subprocess.run(["postfix", "-c", self.base + "/etc", "start"], check=True, capture_output=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["postfix", "-c", self.base + "/etc", "stop"], check=False, capture_output=True)

    def _write(self, name, text):
        with open(os.path.join(self.base, name), "w", encoding="ascii") as f:
            f.write(text)


def maildir_of(account):
    return os.path.join(account.pw_dir, "Maildir")


def empty(account):
    """A fresh Maildir, owned by the account."""
    maildir = maildir_of(account)
    shutil.rmtree(maildir, ignore_errors=True)
    for name in ("", "/tmp", "/new", "/cur"):
        os.mkdir(maildir + name, 0o700)
        os.chown(maildir + name, account.pw_uid, account.pw_gid)


def seconds(address, recipient, account, messages, sessions):
    """Seconds from the first connection until the last message is in new/."""
    empty(account)
    new = maildir_of(account) + "/new"
    start = time.monotonic()
    subprocess.run(["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", "2000", "-f", f"sender@{recipient.split('@')[1]}",
                    "-t", recipient, address], check=True)
    sent = time.monotonic() - start
    while len(os.listdir(new)) < messages:
        if time.monotonic() - start > 300:
            sys.exit(f"{address}: only {len(os.listdir(new))} of {messages} messages arrived")
        time.sleep(0.02)
    return sent, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--home", required=True, metavar="QMAILHOME", help="a running installation of pyqmail")
    parser.add_argument("--smtp", required=True, metavar="ADDR:PORT", help="where it listens")
    parser.add_argument("--postfix", default="127.0.0.1:2599", metavar="ADDR:PORT", help="for the private Postfix")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=20)
    options = parser.parse_args()
    with open(os.path.join(options.home, "control/me"), encoding="ascii") as f:
        domain = f.readline().strip()
    subprocess.run(["useradd", "-m", USER], check=True)
    account = pwd.getpwnam(USER)
    os.chmod(account.pw_dir, 0o755)
    ratios = []
    try:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as top:
            os.chmod(top, 0o755)
            with Postfix(options.postfix, top) as postfix:
                for number in range(options.rounds + 1):
                    # the first round warms caches and processes of both and does not count
                    count = options.messages if number else options.messages // 10
                    ours = seconds(options.smtp, f"{USER}@{domain}", account, count, options.sessions)
                    theirs = seconds(postfix.address, f"{USER}@bench.example", account, count, options.sessions)
                    if number:
                        ratios.append(theirs[1] / ours[1])
                        print(f"round {number}: pyqmail accepted {count / ours[0]:.0f}/s, delivered {count / ours[1]:.0f}/s;"
                              f" Postfix accepted {count / theirs[0]:.0f}/s, delivered {count / theirs[1]:.0f}/s;"
                              f" ratio {ratios[-1]:.2f}", flush=True)
    finally:
        subprocess.run(["userdel", "-r", "-f", USER], check=False, stderr=subprocess.DEVNULL)
    print(f"ratio to Postfix (delivered): median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
