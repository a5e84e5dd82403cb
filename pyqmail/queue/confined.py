"""What a process may still do that talks to strangers and submits their mail: the workers of SMTP, QMTP and QMQP, and
these programs with one connection. And what the queue service may."""
import os

from _socket import AF_INET, AF_INET6, AF_UNIX      # the module `socket` costs 6 ms at start

from ..base import durable, home, limits, prot, sandbox
from . import wire


def program():
    """What must be executable for bin/qmail-queue to run."""
    return (home.program("qmail-queue"), "/bin/sh", *sandbox.interpreter())


def confined():
    """Be confined from here on: a sandbox.Confined. Control files can be read, and bin/qmail-queue can be run, which
    knows what to do while the service is not there; it needs to look up accounts. IP sockets are for asking the kernel
    which addresses are ours. Raises OSError."""
    files = {"read": ("/etc", home.path("bin"), home.path(wire.DIRECTORY), home.path("run/qmail-rcptcheck")),
             "run": program(),
             "names": (home.HOME,)}         # Python looks there for our package
    return sandbox.Confined(files, sockets=(AF_UNIX, AF_INET, AF_INET6), forks=True, execs=True)


def by_itself(program):
    """confined(), with the limits of a program that is started for each connection. Not where mail may go to another
    program than ours, nor for who can write into the queue without the service: root, or a private home's user. Where
    the kernel has nothing to confine with, nothing is said: it would be said each time. Raises OSError."""
    if b"QMAILQUEUE" in os.environb or not home.ours("qmail-queue") or os.access(home.path("queue/pid"), os.W_OK):
        return
    limits.enter(program)
    prot.not_dumpable()
    confined()


def keeper():
    """Be confined from here on, as the queue service: four directories of the queue and its own socket. It starts
    nothing but itself, should its guardian die. Working directory: queue/. Raises OSError."""
    files = {"link": ("pid", "intd", "todo", "mess"), "change": ("lock",), "sockets": (home.path(wire.DIRECTORY),),
             "read": ("/etc", home.path("bin")), "run": program(), "names": (home.HOME, ".")}
    durable.look_around()           # what is mounted is out of sight afterwards
    limits.enter("qmail-queue")
    sandbox.enter(sandbox.Files(**files), sockets=(AF_UNIX,), forks=True, execs=True)
