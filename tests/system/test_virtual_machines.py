"""Two machines that deliver into the same Maildirs: installations with network, host name and process numbers of
their own, on one directory tree.

Nothing is locked. A message's file is made under a name with the machine's host name in it, so machines that share
Maildirs must be called differently; process numbers and times may be the same, and here they are.
"""
import collections
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.root, pytest.mark.system]

EACH = 25                               # messages of each machine to each user
USERS = ("joe", "ann")
MACHINE = """
set -e
hostname "$name"
ip link set lo up 2>/dev/null || ifconfig lo up
mount -t proc proc /proc
trap '"$home/bin/qmailctl" stop' EXIT
"$home/bin/qmailctl" start
"$python" -c "$load" "$name" "$port" "$domain" "$each" "$together"
while [ "$(find "$home"/queue/mess "$home"/queue/todo "$home"/queue/info -type f | wc -l)" != 0 ]; do sleep 0.1; done
"""
LOAD = """
import os, smtplib, sys, time
name, port, domain, each, together = sys.argv[1:]
open(os.path.join(together, name), "w").close()
while len(os.listdir(together)) < 2:
    time.sleep(0.01)
with smtplib.SMTP("127.0.0.1", int(port), timeout=120) as smtp:
    for number in range(int(each)):
        for user in ("joe", "ann"):
            smtp.sendmail("a@b.test", [f"{user}@{domain}"], f"Subject: {name}-{number}-{user}\\r\\n\\r\\nhello\\r\\n")
"""


def second_home(virtual, install, open_place):
    """A further installation that knows the same domains: its tables are copies, as an administrator makes them."""
    home = install(f"{open_place}/machine{os.urandom(3).hex()}/home", "--smtp", f"127.0.0.1:{virtual.smtp}",
                   "--pop3", f"127.0.0.1:{virtual.pop3}")
    for name in ("control/rcpthosts", "control/virtualdomains", "users/assign", "users/cdb"):
        subprocess.run(["cp", "-p", f"{virtual.home}/{name}", f"{home}/{name}"], check=True)
    return home


def test_no_message_is_lost_and_every_byte_is_counted(virtual, install, open_place, tmp_path):
    domain = virtual.add_domain()
    for user in USERS:
        virtual.add_user(f"{user}@{domain}", "-q", "100M")
    processes = []
    for name in ("one.test", "two.test"):
        environ = {**os.environ, "name": name, "home": second_home(virtual, install, open_place), "python": sys.executable,
                   "load": LOAD, "port": str(virtual.smtp), "domain": domain, "each": str(EACH), "together": str(tmp_path)}
        processes.append(subprocess.Popen(["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "sh",
                                           "-c", MACHINE], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    try:
        for process in processes:
            output = process.communicate(timeout=300)[0]
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()              # and with it everything on that machine
    for user in USERS:
        maildir = f"{virtual.user_directory(f'{user}@{domain}')}/Maildir"
        names = os.listdir(f"{maildir}/new")
        assert os.listdir(f"{maildir}/tmp") == []
        subjects, sizes = collections.Counter(), 0
        for name in names:
            with open(f"{maildir}/new/{name}", encoding="latin-1") as f:
                text = f.read()
            subjects.update(line for line in text.split("\n") if line.startswith("Subject: "))
            assert name.endswith(f",S={len(text)}")
            sizes += len(text)
        assert subjects == collections.Counter(f"Subject: {machine}-{number}-{user}" for machine in ("one.test", "two.test")
                                               for number in range(EACH))
        assert {name.partition(",")[0].split(".", 2)[2] for name in names} == {"one.test", "two.test"}
        with open(f"{maildir}/maildirsize", encoding="ascii") as f:
            _, *entries = f.read().splitlines()
        assert [sum(column) for column in zip(*(map(int, line.split()) for line in entries))] == [sizes, 2 * EACH]
