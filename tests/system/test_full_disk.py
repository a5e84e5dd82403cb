"""Full disks, on small file systems of their own: what was accepted is kept, the rest is refused for now."""
import os
import subprocess

import pytest

pytestmark = [pytest.mark.root, pytest.mark.system]

LARGE = b"Subject: large\r\n\r\n" + b"x" * 70_000 + b"\r\n"


class Disk:
    """A small ext4 in a file, mounted over `place`; what was there before is copied onto it."""

    def __init__(self, image, place, size="12M", inodes=1000):
        self.place = place
        with open(image, "wb") as f:
            f.truncate(int(size.removesuffix("M")) << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", str(inodes), image], check=True)
        done = subprocess.run(["mount", "-o", "loop", image, f"{place}.disk"], capture_output=True)
        if done.returncode:
            pytest.skip("no loop devices here: " + done.stderr.decode())
        subprocess.run(["cp", "-a", f"{place}/.", f"{place}.disk"], check=True)
        subprocess.run(["mount", "--move", f"{place}.disk", place], check=True)

    def fill(self):
        """Take the last block."""
        with open(f"{self.place}/fill", "wb", buffering=0) as f:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while f.write(bytes(size)):
                        pass
                except OSError:
                    pass

    def fill_inodes(self):
        os.mkdir(f"{self.place}/fill.d")
        try:
            for number in range(1_000_000):
                os.close(os.open(f"{self.place}/fill.d/{number}", os.O_CREAT | os.O_WRONLY))
        except OSError:
            pass

    def empty(self):
        subprocess.run(["rm", "-rf", f"{self.place}/fill", f"{self.place}/fill.d"], check=True)


@pytest.fixture
def disk(open_place):
    """disk(place): a Disk over it; unmounted afterwards."""
    made = []

    def make(place):
        os.mkdir(f"{place}.disk")
        made.append(place)
        return Disk(os.path.join(open_place, f"disk{os.urandom(3).hex()}"), place)
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
