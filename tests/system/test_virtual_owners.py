"""Domains of different owners: neither they nor qmail's own users get at each other's mail or passwords."""
import os
import poplib
import pwd
import smtplib
import subprocess

import pytest

from tests.peers.virtual import PASSWORD

pytestmark = [pytest.mark.root, pytest.mark.system]

READ = """
found = []
for path in arguments:
    try:
        entries = os.listdir(path) if os.path.isdir(path) else [open(path, "rb").read(1)]
        found.append(path)
    except OSError:
        pass
print(*found, sep="\\n")
"""
QMAIL = ("alias", "qmaild", "qmaill", "qmailp", "qmailq", "qmailr", "qmails")


@pytest.fixture(scope="module")
def domains(virtual, people, open_place):
    """{owner: domain}: of vpopmail, of two users of the system (-u), of bare numbers elsewhere (-i, -g, -d)."""
    first, second = people(), people()
    apart = f"{open_place}/apart"
    os.mkdir(apart, 0o755)
    found = {"vpopmail": virtual.add_domain(), first.name: virtual.add_domain("-u", first.name),
             second.name: virtual.add_domain("-u", second.name),
             "64007:64008": virtual.add_domain("-i", "64007", "-g", "64008", "-d", apart)}
    for name in found.values():
        joe = virtual.add_user(f"joe@{name}")
        with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60) as smtp:
            smtp.sendmail("a@b.test", [joe], f"Subject: secret\r\n\r\nof {name}\r\n")
        virtual.wait(lambda joe=joe: virtual.messages(joe), 60)
    yield found
    for name in found.values():         # while the users are still there
        virtual.remove(name)


def ids(owner):
    """(uid, gid) of a name, or of UID:GID."""
    if ":" in owner:
        return tuple(map(int, owner.split(":")))
    entry = pwd.getpwnam(owner)
    return entry.pw_uid, entry.pw_gid


def readable(owner, paths):
    """Those of the paths that a process of this owner, in no other group, can read."""
    uid, gid = ids(owner)
    code = f"import os, sys\narguments = sys.argv[1:]\n{READ}"
    done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "/usr/bin/python3", "-ISc", code,
                           *paths], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split("\n")) & set(paths)


def secrets(virtual, name):
    """What nobody else may read: the domain's directory and everything in it."""
    top = virtual.domain_directory(name)
    return [top, *(f"{where}/{entry}" for where, below, names in os.walk(top) for entry in below + names
                   if not entry.endswith(".lock"))]


def test_only_the_owner_reads(virtual, domains):
    paths = {owner: secrets(virtual, name) for owner, name in domains.items()}
    for owner, own in paths.items():
        assert {os.path.basename(path) for path in own} >= {"vpasswd", "vpasswd.cdb", "joe", "Maildir", "new"}
        assert readable(owner, own) == set(own)
        for other in (*(set(paths) - {owner}), *QMAIL, "nobody"):
            assert readable(other, own) == set(), (other, owner)


def test_everything_belongs_to_the_owner(virtual, domains):
    for owner, name in domains.items():
        for path in secrets(virtual, name):
            found = os.lstat(path)
            assert (found.st_uid, found.st_gid) == ids(owner), path
            assert found.st_mode & 0o077 == 0, path


def test_mail_and_commands_run_as_the_owner(virtual, domains):
    """A .qmail file's command is a process of the owner of the domain, in no group of anybody else."""
    for owner, name in domains.items():
        top = virtual.domain_directory(name)
        path = f"{top}/.qmail-who"
        with open(path, "w", encoding="ascii") as f:
            f.write(f"|id -u >{top}/who.new; id -G >>{top}/who.new; mv {top}/who.new {top}/who\n")
        os.chown(path, *ids(owner))
        os.chmod(path, 0o600)
        subprocess.run([f"{virtual.home}/bin/qmail-inject", f"who@{name}"], input=b"Subject: x\n\n", check=True)
        virtual.wait(lambda top=top: os.path.exists(f"{top}/who"), 60)
        with open(f"{top}/who", encoding="ascii") as f:
            assert f.read().split() == list(map(str, ids(owner)))


def test_pop_reads_the_right_mailbox(virtual, domains):
    def shown(name):
        pop3 = poplib.POP3("127.0.0.1", virtual.pop3, timeout=60)
        try:
            pop3.user(f"joe@{name}")
            pop3.pass_(PASSWORD)
            found = [b"\n".join(pop3.retr(number + 1)[1]) for number in range(pop3.stat()[0])]
            pop3.quit()
            return found
        finally:
            pop3.close()
    for name in domains.values():
        [found] = virtual.wait(lambda name=name: shown(name))
        assert f"of {name}".encode() in found


def test_root_owns_no_domain(virtual):
    name = virtual.new_name()
    for options in (("-u", "root"), ("-i", "0"), ("-g", "0")):
        virtual.run("vadddomain", *options, name, PASSWORD, status=234)
    assert name not in virtual.domains()
