"""Many programs at work on virtual domains at the same time: no change is lost, whoever comes second."""
import os
import re
import subprocess

import pytest

from tests.conformance.replay import cdb
from tests.peers.virtual import PASSWORD

pytestmark = [pytest.mark.root, pytest.mark.system]

MANY = 10


def start(virtual, program, *words):
    return subprocess.Popen([f"{virtual.home}/bin/{program}", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def finish(processes):
    """[(exit code, output)] of all."""
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs)]


def names(virtual, domain):
    """The users in vpasswd, and those in vpasswd.cdb; vpasswd must be in order."""
    directory = virtual.domain_directory(domain)
    with open(f"{directory}/vpasswd", encoding="latin-1") as f:
        found = [line.split(":")[0] for line in f]
    assert found == sorted(found)
    with open(f"{directory}/vpasswd.cdb", "rb") as f:
        records = cdb.records(f.read())
    return set(found), {name for name, _ in records}


def counted(virtual, domain):
    return int(virtual.run("vdominfo", "-t", domain))


def test_users_added_by_ten_at_once(virtual):
    domain = virtual.add_domain()
    users = [f"user{number}" for number in range(2 * MANY)]
    script = 'for user in "$@"; do "$program" "$user@$domain" "$password" || exit; done'
    environ = {**os.environ, "program": f"{virtual.home}/bin/vadduser", "domain": domain, "password": PASSWORD}
    processes = [subprocess.Popen(["/bin/sh", "-c", script, "sh", *users[number::MANY]], env=environ,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for number in range(MANY)]
    assert finish(processes) == [(0, b"")] * MANY
    assert names(virtual, domain) == ({"postmaster", *users},) * 2
    assert counted(virtual, domain) == 1 + len(users)
    assert all(os.path.isdir(f"{virtual.domain_directory(domain)}/{user}/Maildir/tmp") for user in users)


def test_one_name_for_ten_is_one_user(virtual):
    domain = virtual.add_domain()
    answers = finish([start(virtual, "vadduser", f"joe@{domain}", PASSWORD) for _ in range(MANY)])
    assert [code for code, _ in answers].count(0) == 1, answers
    assert names(virtual, domain) == ({"postmaster", "joe"},) * 2
    assert os.path.isdir(f"{virtual.user_directory('joe@' + domain)}/Maildir/tmp")


def test_added_changed_and_deleted_at_once(virtual):
    domain = virtual.add_domain()
    for user in ("change1", "change2", "change3", "leave1", "leave2", "leave3"):
        virtual.add_user(f"{user}@{domain}", "-e", "old")
    answers = finish([start(virtual, *words) for number in "123" for words in (
        ("vadduser", "-e", "fresh", f"new{number}@{domain}"), ("vmoduser", "-e", "changed", f"change{number}@{domain}"),
        ("vdeluser", f"leave{number}@{domain}"))])
    assert answers == [(0, b"")] * 9
    kept = {"postmaster", "change1", "change2", "change3", "new1", "new2", "new3"}
    assert names(virtual, domain) == (kept, kept)
    assert counted(virtual, domain) == len(kept)
    for number in "123":
        assert virtual.run("vuserinfo", "-p", f"change{number}@{domain}") == "changed\n"
        assert not os.path.exists(f"{virtual.domain_directory(domain)}/leave{number}")


def test_domains_made_and_deleted_at_once(virtual):
    leaving = [virtual.add_domain() for _ in range(3)]
    coming = [virtual.new_name() for _ in range(5)]
    answers = finish([*(start(virtual, "vdeldomain", name) for name in leaving),
                      *(start(virtual, "vadddomain", name, PASSWORD) for name in coming)])
    assert answers == [(0, b"")] * 8
    assert set(coming) <= set(virtual.domains()) and not set(leaving) & set(virtual.domains())
    for path in ("control/rcpthosts", "control/virtualdomains", "users/assign"):
        with open(f"{virtual.home}/{path}", encoding="ascii") as f:
            text = f.read()
        assert all(re.search(rf"^\+?{re.escape(name)}\b", text, re.MULTILINE) for name in coming), path
        assert not any(name in text for name in leaving), path
    for name in coming:
        virtual.run("vuserinfo", "-n", f"postmaster@{name}")
