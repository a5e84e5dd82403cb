"""What qmail-send may still do once it has its pipes, its lock and its control files."""
import os
from socket import AF_UNIX

from ..base import durable, home, limits, sandbox
from ..queue import suspects, wire
from ..queue.confined import program
from .hands import BOOT_ID


def confined(log):
    """Be confined from here on: a sandbox.Confined; None if bin/qmail-queue is another program, which may need
    anything. log: messages.Log. Working directory: queue/. Raises OSError.

    Bounces go to the queue service, or to bin/qmail-queue while that is not there. Nothing here uses the network."""
    if b"QMAILQUEUE" in os.environb or not home.ours("qmail-queue"):
        return None
    durable.look_around()           # what is mounted is out of sight afterwards
    sandbox.check("qmail-send", lambda line: log.say(line.encode()))
    files = {"read": ("mess", "todo", "intd", "pid", "/etc", BOOT_ID, home.path("bin"), home.path(wire.DIRECTORY)),
             "write": ("info", "local", "remote", "bounce", home.path(suspects.DIRECTORY)), "change": ("lock",),
             "run": program(), "names": (home.HOME, ".")}
    limits.enter("qmail-send")
    return sandbox.Confined(files, sockets=(AF_UNIX,), forks=True, execs=True)
