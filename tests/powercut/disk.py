"""Disks that can be copied in an instant: image files on XFS with reflinks, which itself lies in a loop file.

A copy (FICLONE) of an image is what the disk would hold if the power failed then: whatever the file system on it
has not given to the disk is missing. The copy is atomic: XFS lets no write to the image in while it is made.

An image has two partitions, as a machine has /var and /home: QMAILHOME with the queue, and the homes of users
and virtual domains. Both are in one file, so that one copy has both of the same instant.
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
    """An image with two file systems of one kind ("ext4", "xfs"), and where they are mounted."""

    def __init__(self, image, kind, place):
        self.image, self.kind, self.place = image, kind, place

    def make(self):
        size = SIZES[self.kind]
        with open(self.image, "xb") as f:
            os.truncate(f.fileno(), size * len(PARTITIONS))
        for number in range(len(PARTITIONS)):
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
        """Mount both; the journals are replayed. Who ends its mount namespace has unmounted them."""
        for number, name in enumerate(PARTITIONS):
            where = f"{self.place}/{name}"
            os.makedirs(where, exist_ok=True)
            size = SIZES[self.kind]
            run("mount", "-t", self.kind, "-o", f"loop,offset={number * size},sizelimit={size}{OPTIONS[self.kind]}",
                self.image, where)

    def unmount(self):
        for name in PARTITIONS:
            run("umount", f"{self.place}/{name}")

    def check(self):
        """What fsck has to say about the file systems, unmounted; "" if they are whole."""
        said = ""
        for number in range(len(PARTITIONS)):
            with self._device(number) as device:
                done = subprocess.run([*CHECK[self.kind], device], capture_output=True, stdin=subprocess.DEVNULL)
                if done.returncode:
                    said += (done.stdout + done.stderr).decode(errors="replace")
        return said
