"""Mounts that only this process and those it starts see: gone with it, however it ends."""
import ctypes
import subprocess

NEW_MOUNTS = 0x00020000                     # CLONE_NEWNS
_entered = []


def enter():
    """From here on, mounts are private to this process and its children, where that is permitted. A second time
    does nothing."""
    if _entered or ctypes.CDLL(None).unshare(NEW_MOUNTS) != 0:
        return
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    _entered.append(True)


def lay(source, place):
    """The directory `source` stands at `place` from here on, for whoever shares these mounts."""
    assert _entered, "private mounts are not permitted here, and others shall not see this one"
    subprocess.run(["mount", "--bind", source, place], check=True)


def lift(place):
    subprocess.run(["umount", "--lazy", place], check=True)
