"""Disks that can be copied in an instant: image files on XFS with reflinks, which itself lies in a loop file.

A copy (FICLONE) of an image is what the disk would hold if the power failed then: whatever the file system on it
has not given to the disk is missing. The copy is atomic: XFS lets no write to the image in while it is made.

An image has two partitions, as a machine has /var and /home: QMAILHOME with the queue, and the homes of users
and virtual domains. Both are in one file, so that one copy has both of the same instant. A kind with "+queue" has a
third one, for the directories info, local and remote of the queue, whose journal todo has nothing to do with. (Others
cannot lie apart: there are links between them.)
"""
import contextlib
import fcntl
import os
import subprocess

FICLONE = 0x40049409
MB = 1 << 20
STORE = 64 << 30                    # bytes; sparse
SIZES = {"ext4": 96 * MB, "xfs": 304 * MB}      # of a partition; mkfs.xfs makes none smaller
PARTITIONS = ("var", "home")
APART, THERE = ("info", "local", "remote"), "queue"     # on the third one
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0", "-i", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
}
# Nothing to mend and nothing to find once the journal has been replayed.
CHECK = {"ext4": ["e2fsck", "-f", "-n"], "xfs": ["xfs_repair", "-n"]}
OPTIONS = {"ext4": "", "xfs": ",nouuid"}        # the copy of a mounted one has its UUID


def run(*words, **options):
    """Run a program that must do its work. Raises CalledProcessError, with what it said as a note."""
    try:
        return subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL, **options)
    except subprocess.CalledProcessError as why:
        why.add_note((why.stdout + why.stderr).decode(errors="replace"))
        raise


def store(backing, place):
    """Make the file system with reflinks in the file `backing` and mount it at the directory `place`."""
    with open(backing, "wb") as f:
        os.truncate(f.fileno(), STORE)
    run("mkfs.xfs", "-q", "-m", "reflink=1", backing)
    run("mount", "-o", "loop", backing, place)


def copy(source, target):
    """Let the file `target` hold what `source` holds at this instant."""
    with open(source, "rb") as old, open(target, "xb") as new:
        fcntl.ioctl(new, FICLONE, old.fileno())


class Disk:
    """An image with two file systems of one kind ("ext4", "xfs"), three of "ext4+queue", and where they are mounted."""

    def __init__(self, image, kind, place):
        self.image, self.place = image, place
        self.kind, plus, third = kind.partition("+")
        self.partitions = (*PARTITIONS, third) if plus else PARTITIONS
        assert self.kind in SIZES and third in ("", THERE), kind

    def make(self):
        size = SIZES[self.kind]
        with open(self.image, "xb") as f:
            os.truncate(f.fileno(), size * len(self.partitions))
        for number in range(len(self.partitions)):
            with self._device(number) as device:
                run(*MAKE[self.kind], device)

    def _offsets(self, number):
        size = SIZES[self.kind]
        return [f"--offset={number * size}", f"--sizelimit={size}"]

    @contextlib.contextmanager
    def _device(self, number):
        device = run("losetup", "--find", "--show", *self._offsets(number), self.image).stdout.decode().strip()
        try:
            yield device
        finally:
            run("losetup", "--detach", device)

    def mount(self):
        """Mount them; the journals are replayed. Who ends its mount namespace has unmounted them."""
        for number, name in enumerate(self.partitions):
            where = f"{self.place}/{name}"
            os.makedirs(where, exist_ok=True)
            size = SIZES[self.kind]
            run("mount", "-t", self.kind, "-o", f"loop,offset={number * size},sizelimit={size}{OPTIONS[self.kind]}",
                self.image, where)
        for name in APART if THERE in self.partitions else ():
            if os.path.isdir(f"{self.place}/{THERE}/{name}"):
                run("mount", "--bind", f"{self.place}/{THERE}/{name}", f"{self.place}/var/qmail/queue/{name}")

    def unmount(self):
        for name in self.partitions:
            run("umount", "--recursive", f"{self.place}/{name}")

    def move_apart(self):
        """Put the directories of the queue where they belong; they are seen with the next mount()."""
        for name in APART if THERE in self.partitions else ():
            run("cp", "-a", f"{self.place}/var/qmail/queue/{name}", f"{self.place}/{THERE}/{name}")

    def check(self):
        """What fsck has to say about the file systems, unmounted; "" if they are whole."""
        said = ""
        for number in range(len(self.partitions)):
            with self._device(number) as device:
                done = subprocess.run([*CHECK[self.kind], device], capture_output=True, stdin=subprocess.DEVNULL)
                if done.returncode:
                    said += (done.stdout + done.stderr).decode(errors="replace")
        return said
