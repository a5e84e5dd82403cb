"""Which process plays which part: QMAILHOME/run/NAME.pid.

The file holds "PID START", START being the kernel's start time of that process. The pair names one
process for ever; a pid alone might be somebody else's by now.
"""
import collections
import os

from . import home, netio

Process = collections.namedtuple("Process", "pid start")


def place(name):
    return home.path("run", f"{name}.pid")


def start_time(pid):
    """The kernel's start time of a process in clock ticks since boot; None if there is none, or only
    its remains."""
    try:
        fields = netio.read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def note(name, pid):
    """Write down that process `pid` plays `name`. Raises OSError."""
    path = place(name)
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)
        os.write(fd, b"%d %d\n" % (pid, start_time(pid) or 0))
    finally:
        os.close(fd)
    os.rename(f"{path}.new", path)


def forget(name):
    try:
        os.unlink(place(name))
    except FileNotFoundError:
        pass


def running(name):
    """The Process that plays `name`, None if there is none now."""
    try:
        pid, start = map(int, netio.read_file(place(name)).split())
    except (FileNotFoundError, ValueError):
        return None
    return Process(pid, start) if start_time(pid) == start else None


def catches(process, number):
    """True if the process has a handler for this signal: one that is just starting has not, and would be ended by it."""
    try:
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as f:
            caught = next(int(line.split()[1], 16) for line in f if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return False                # it has ended
    return bool(caught >> number - 1 & 1)
