"""Small file systems, to be filled."""
import os
import subprocess


class Unavailable(Exception):
    """This machine lets nobody mount a file."""


class Disk:
    """A small ext4 in a file, mounted over `place`; what was there before is copied onto it. The directory
    PLACE.disk must be there."""

    def __init__(self, image, place, size="12M", inodes=1000):
        self.place = place
        with open(image, "wb") as f:
            f.truncate(int(size.removesuffix("M")) << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", str(inodes), image], check=True)
        done = subprocess.run(["mount", "-o", "loop", image, f"{place}.disk"], capture_output=True)
        if done.returncode:
            raise Unavailable("no loop devices here: " + done.stderr.decode())
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
