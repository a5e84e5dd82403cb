"""vkill: kill every process whose command line has a word in it.

    vkill [-v] word

Sends signal 9 to every process whose command line contains `word`, except those that contain supervise, multilog or
svscan, this process, those that started it, and the first one. Exit codes: 0; 255 usage.

**Security**: kills what its user may kill. It looks for text, not for a program: `kill` and a process id, or
qmailctl, are the better choice. Source: vpopmail's vkill, as recorded.
"""
import os

from ..base import netio, sig
from ..vpopmail import command

USAGE = "vkill: usage: process\noptions: -v (print the version)\n"
SPARED = (b"supervise", b"multilog", b"svscan")
LONGEST = 1 << 17                   # bytes of a command line that are looked at


def main(argv):
    options = command.Options(argv, b"v")
    if options.bad or not options.rest or not options.rest[0]:
        return command.usage(USAGE)
    for pid in victims(options.rest[0]):
        try:
            os.kill(pid, sig.KILL)
        except OSError:
            continue                # gone, or somebody else's
    return 0


def victims(word):
    """The processes to be killed."""
    family = ancestors()
    for name in sorted(os.listdir("/proc")):
        if name.isdigit() and int(name) not in family:
            line = command_line(name)
            if word in line and not any(other in line for other in SPARED):
                yield int(name)


def ancestors():
    """This process, those that it was started by, and 1."""
    family, pid = {1}, os.getpid()
    while pid and pid not in family:
        family.add(pid)
        try:
            fields = netio.read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        except OSError:
            break
        pid = int(fields[1])
    return family


def command_line(pid):
    """What ps shows, b"" for a process of the kernel or one that is gone."""
    try:
        return netio.read_file(f"/proc/{pid}/cmdline", LONGEST).replace(b"\0", b" ")
    except OSError:
        return b""
