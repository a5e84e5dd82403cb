"""Full disks, on small file systems of their own: what was accepted is kept, the rest is refused for now."""
import os
import subprocess

import pytest

from tests.peers.small_disk import Disk, Unavailable

pytestmark = [pytest.mark.root, pytest.mark.system]

LARGE = b"Subject: large\r\n\r\n" + b"x" * 70_000 + b"\r\n"


@pytest.fixture
def disk(open_place):
    """disk(place): a Disk over it; unmounted afterwards."""
    made = []

    def make(place):
        os.mkdir(f"{place}.disk")
        made.append(place)
        try:
            return Disk(os.path.join(open_place, f"disk{os.urandom(3).hex()}"), place)
        except Unavailable as why:
            pytest.skip(str(why))
    yield make
    for place in made:
        subprocess.run(["umount", "-l", place], check=False, capture_output=True)


@pytest.fixture
def small_queue(make_system, disk):
    """(mail, disk): an installation whose queue lies on a small disk."""
    made = []

    def prepare(home):
        made.append(disk(f"{home}/queue"))
    mail = make_system(prepare)
    yield mail, made[0]
    mail.end()                      # before the disk goes away


@pytest.mark.parametrize("fill", ["fill", "fill_inodes"])
def test_full_queue(small_queue, people, fill):
    mail, disk = small_queue
    person = people()
    with mail.stopped(*mail.processes("qmail-send")):
        for _ in range(3):
            mail.send("s@a.example", person.address)       # these must not be lost
        getattr(disk, fill)()
        for _ in range(5):
            code, reply = mail.answer("s@a.example", person.address, text=LARGE)
            assert code == 451
            assert reply in (b"qq write error or disk full (#4.3.0)", b"qq trouble creating files in queue (#4.3.0)")
        done = mail.sendmail(person, person.name, text=b"Subject: large\n\n" + b"x\n" * 50_000)
        assert done.returncode == 111 and b"(#4.3.0)" in done.stderr
        assert len(mail.queued()) == 3                                  # nothing lies about that was refused
    mail.wait(lambda: "warning: " in mail.log() or person.messages())  # qmail-send has no room either
    disk.empty()
    mail.restart()                  # it would go on by itself, but in two minutes
    mail.finish()
    assert len(person.messages()) >= 3
    mail.send("s@a.example", person.address)
    mail.wait(lambda: len(person.messages()) >= 4)
    mail.settled()


def test_full_mailbox(make_system, people, disk):
    sender, reader = people(), people()
    place = disk(f"{reader.home}/Maildir")
    mail = make_system()
    place.fill()
    mail.send(sender.address, reader.address, text=LARGE)
    mail.wait(lambda: "deferral: Temporary_error_on_maildir_delivery._(#4.3.0)/" in mail.log())
    assert reader.messages() == sender.messages() == []
    assert os.listdir(f"{reader.home}/Maildir/tmp") == []
    place.empty()
    mail.finish()
    assert len(reader.messages()) == 1
