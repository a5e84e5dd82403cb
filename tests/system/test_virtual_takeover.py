"""A domain that vpopmail's own programs have made, taken over in place. Its files are those of the recorded cases."""
import json
import os
import poplib
import pwd
import smtplib
import subprocess

import pytest

from tests.conformance.replay import cdb
from tests.conftest import ROOT

pytestmark = [pytest.mark.root, pytest.mark.system]

HASHES = {"secret": "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "pw": "$1$stuvwxyz$Rq.4AgU.UB71hsDVV1RRi."}
CASES = (("vpopmail-domain", "adddomain-basic"), ("vpopmail-user", "adduser-basic"))
OLD = b"Return-Path: <a@b.test>\nDelivered-To: joe@example.com\nSubject: kept\n\nsince 2003\n"


def recorded(virtual, name):
    """{path: entry} of what the C programs left: a domain, its postmaster, its user joe."""
    found = {}
    for suite, wanted in CASES:
        with open(f"{ROOT}/tests/conformance/{suite}.json", encoding="utf-8") as f:
            text = f.read().replace("VPOPHOME", virtual.place).replace("example.com", name)
        [case] = [case for case in json.loads(text)["cases"] if case["name"] == wanted]
        found.update(case["expect"]["files"])
    return {path: entry for path, entry in found.items() if path.startswith(f"{virtual.place}/domains/{name}")}


def with_hashes(text):
    """Every masked hash is that of the clear password at the end of its line."""
    lines = text.split("\n")
    return "\n".join(line.replace("$1$SALT$HASH", HASHES.get(line.rpartition(":")[2], "")) for line in lines)


def put(path, entry, uid, gid):
    if entry.get("dir"):
        os.mkdir(path)
    elif "cdb" in entry:
        with open(path, "wb") as f:
            f.write(cdb.make([(key.encode(), with_hashes(data).encode()) for key, data in entry["cdb"]]))
    else:
        with open(path, "w", encoding="latin-1") as f:
            f.write(with_hashes(entry["text"]))
    os.chown(path, uid, gid)
    os.chmod(path, int(entry["mode"], 8))


@pytest.fixture
def old_domain(virtual):
    """A domain of vpopmail's in VPOPHOME, with mail for joe in it; its name."""
    name = virtual.new_name()
    owner = pwd.getpwnam("vpopmail")
    for path, entry in sorted(recorded(virtual, name).items()):
        put(path, entry, owner.pw_uid, owner.pw_gid)
    directory = f"{virtual.place}/domains/{name}"
    os.chmod(f"{directory}/vpasswd", 0o644)             # as vpopmail's vpasswd leaves it
    message = f"{directory}/joe/Maildir/new/1046469123.4711.old.example,S={len(OLD)}"
    with open(message, "wb") as f:
        f.write(OLD)
    os.chown(message, owner.pw_uid, owner.pw_gid)
    line = f"+{name}-:{name}:{owner.pw_uid}:{owner.pw_gid}:{directory}:-::\n"
    for path, new in (("users/assign", line), ("control/rcpthosts", f"{name}\n"),
                      ("control/virtualdomains", f"{name}:{name}\n")):
        with open(f"{virtual.home}/{path}", "a+", encoding="ascii") as f:
            f.seek(0)
            kept = f.read().removesuffix(".\n")
            f.truncate(0)
            f.write(kept + new + (".\n" if path == "users/assign" else ""))
    subprocess.run([f"{virtual.home}/bin/qmail-newu"], check=True)
    assert virtual.ctl("reload")[0] == 0
    yield name
    virtual.remove(name)


def picture(top):
    """{path: (mode, owner, group, content)} of everything below a directory."""
    found = {}
    for where, directories, names in os.walk(top):
        for name in directories + names:
            path = f"{where}/{name}"
            about = os.lstat(path)
            content = None
            if name in names:
                with open(path, "rb") as f:
                    content = f.read()
            found[path] = about.st_mode, about.st_uid, about.st_gid, content
    return found


def test_mail_and_users_are_kept(virtual, old_domain):
    directory, joe = f"{virtual.place}/domains/{old_domain}", f"joe@{old_domain}"
    before = picture(directory)
    assert virtual.ctl("vpopmail")[0] == 0              # takes the home over
    assert virtual.domain_directory(old_domain) == directory
    assert virtual.run("vuserinfo", "-C", joe) == "pw\n"
    assert picture(directory) == before
    with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60) as smtp:
        smtp.sendmail("a@b.test", [joe], "Subject: new\r\n\r\n")
    virtual.wait(lambda: len(virtual.messages(joe)) == 2, 60)

    def shown():
        pop3 = poplib.POP3("127.0.0.1", virtual.pop3, timeout=60)
        try:
            pop3.user(joe)
            pop3.pass_("pw")
            found = [b"\n".join(pop3.retr(number + 1)[1]) + b"\n" for number in range(pop3.stat()[0])]
            pop3.quit()
            return found
        finally:
            pop3.close()
    found = virtual.wait(lambda: len(shown()) == 2 and shown())
    assert found[0].startswith(OLD) and b"Subject: new\n" in found[1]


def test_the_files_stay_such_that_vpopmail_reads_them(virtual, old_domain):
    directory = f"{virtual.place}/domains/{old_domain}"
    with open(f"{directory}/vpasswd", encoding="latin-1") as f:
        before = f.read().splitlines()
    virtual.add_user(f"ann@{old_domain}", "-e", "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "-q", "10M")
    with open(f"{directory}/vpasswd", encoding="latin-1") as f:
        text = f.read()
    ann = f"ann:$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1:1:0:ann:{directory}/ann:10485760S"
    assert text.splitlines() == [ann, *before]
    with open(f"{directory}/.dir-control", encoding="ascii") as f:
        assert f.read() == "3\n0\n3\n0 0 0\n61 61 61\n0 2 2\n0 0 0\n\n"
    with open(f"{directory}/ann/Maildir/maildirsize", encoding="ascii") as f:
        assert f.read().startswith("10485760S\n")
    virtual.run("vdeluser", f"joe@{old_domain}")
    with open(f"{directory}/vpasswd", encoding="latin-1") as f:
        assert [line.split(":")[0] for line in f] == ["ann", "postmaster"]
