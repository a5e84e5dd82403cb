"""doc/VIRTUAL.md from nothing to a working domain: its commands, as they stand there."""
import os
import poplib
import re
import smtplib
import subprocess

import pytest

from tests.conftest import ROOT
from tests.peers import namespaces

pytestmark = [pytest.mark.root, pytest.mark.system]

SECRET = "Walk-Through-5"
DOMAIN = "example.com"


def sections():
    """{heading: [command]} of the page: what stands after # in its examples."""
    with open(f"{ROOT}/doc/VIRTUAL.md", encoding="utf-8") as f:
        parts = re.split(r"^## (.*)\n", f.read(), flags=re.MULTILINE)
    return {heading: re.findall(r"^    # (.*)", text, re.MULTILINE) for heading, text in zip(parts[1::2], parts[2::2])}


@pytest.fixture(scope="module")
def walk(virtual):
    """walk(heading): its commands, one after the other, as root in QMAILHOME; passwords are typed as asked for."""
    known = sections()

    def run(heading, change=lambda command: command):
        assert known[heading], heading
        for command in map(change, known[heading]):
            done = subprocess.run(["/bin/sh", "-c", command], cwd=virtual.home, input=f"{SECRET}\n{SECRET}\n".encode(),
                                  capture_output=True, timeout=120)
            assert done.returncode == 0, (command, done)
    yield run
    virtual.remove(DOMAIN)


def test_from_nothing_to_a_domain_and_back(virtual, walk):
    def send(address, word):
        with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60, source_address=("127.0.0.9", 0)) as smtp:
            smtp.sendmail("stranger@elsewhere.test", [address], f"Subject: {word}\r\n\r\n")
    walk("Once: the home of virtual domains")
    walk("A domain")
    send(f"joe@{DOMAIN}", "first")
    virtual.wait(lambda: any(b"Subject: first\n" in text for text in virtual.messages(f"joe@{DOMAIN}")), 60)
    walk("Reading mail")
    pop3 = virtual.wait(lambda: connected(virtual), 60)
    pop3.user(f"joe@{DOMAIN}")
    pop3.pass_(SECRET)
    pop3.quit()
    walk("Other names")
    virtual.wait(lambda: answers(virtual), 60)
    send("sales@example.net", "second")                 # an alias, in an alias domain
    virtual.wait(lambda: any(b"Subject: second\n" in text for text in virtual.messages(f"joe@{DOMAIN}")), 60)
    walk("Users")
    assert virtual.command("vuserinfo", f"joe@{DOMAIN}").returncode == 255
    with open(f"{virtual.home}/users/new", "w", encoding="ascii") as f:     # any file will do; the page says `users`
        f.write("bulk1:Secret-1:Bulk One\nbulk2:Secret-2\n")
    walk("Many users at once", lambda command: command.replace(" users ", " users/new "))
    assert virtual.run("vuserinfo", "-c", f"bulk1@{DOMAIN}") == "Bulk One\n"
    walk("Losing it again")
    assert DOMAIN not in virtual.domains() and "example.net" not in virtual.domains()
    assert not os.path.exists(f"{virtual.place}/domains/{DOMAIN}")


def connected(virtual):
    try:
        return poplib.POP3("127.0.0.1", virtual.pop3, timeout=60)
    except OSError:
        return None


def answers(virtual):
    try:
        with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60):
            return True
    except OSError:
        return False


def test_the_line_for_cron(virtual, walk, tmp_path):
    """It goes to a directory of the machine; over which another one lies here."""
    place = "/etc/cron.d"
    assert os.path.isdir(place), "apt-get install cron"
    namespaces.lay(str(tmp_path), place)
    try:
        walk("Sending mail from elsewhere")
    finally:
        namespaces.lift(place)
    [name] = os.listdir(tmp_path)
    *_, user, command = (tmp_path / name).read_text().split()
    assert user == "root" and os.path.exists(command.replace("/var/qmail", virtual.home))


def test_nothing_is_left_out():
    """Every command of the page is in a section that is walked; that of SQL has tests of its own."""
    walked = {"Once: the home of virtual domains", "A domain", "Reading mail", "Other names", "Users", "Losing it again",
              "Many users at once", "Sending mail from elsewhere"}
    with_commands = {heading for heading, commands in sections().items() if commands}
    assert with_commands - {"Where users outgrow one machine"} == walked


def programs():
    from pyqmail.install import virtual
    return virtual.programs()


@pytest.mark.parametrize("name", programs())
def test_programs_stand_in_vpophome_too(virtual, name):
    """From where scripts look for them they find the installation they belong to, and say what they want."""
    place = f"{virtual.place}/bin/{name}"
    assert os.path.realpath(place) == f"{virtual.home}/bin/{name}"
    here, there = (subprocess.run([f"{directory}/{name}"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                                  cwd="/") for directory in (f"{virtual.home}/bin", f"{virtual.place}/bin"))
    assert (here.returncode, here.stdout, here.stderr) == (there.returncode, there.stdout, there.stderr)
    assert here.returncode != 1 and b"Traceback" not in here.stderr


def test_a_program_in_vpophome_works_on_its_installation(virtual):
    name = virtual.new_name()
    done = virtual.command("vadddomain", name, SECRET, directory=f"{virtual.place}/bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with open(f"{virtual.home}/control/rcpthosts", encoding="ascii") as f:
        assert name in f.read().split()
