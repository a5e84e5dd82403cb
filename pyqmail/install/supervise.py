"""Keeps the services running where no service manager does: `qmailctl start`.

One process, small, root (or the private home's user), reading nothing but signals. A service that
ends is started again, at most once a second; so is the logger of them all, without losing a line, for
the supervisor holds both ends of the pipes between them. SIGTERM: the services get SIGTERM, qmail-send
finishes its deliveries, and when all have ended so does the supervisor.
"""
import os
import select
import time

from ..base import child, errors, pidfile, sig
from . import services

PAUSE = 1.0                         # s between two starts of the same program


class Kept:
    """A program that is kept running: `begin` forks it and returns its pid."""

    def __init__(self, name, begin, noted):
        self.name, self.begin, self.noted = name, begin, noted
        self.pid, self.last = 0, -PAUSE

    def start(self):
        self.last = time.monotonic()
        sig.block(sig.TERM)             # one that comes now would be lost in the child
        try:
            self.pid = self.begin()
        finally:
            sig.unblock(sig.TERM)
        if self.noted:
            pidfile.note(self.name, self.pid)

    def ended(self):
        self.pid = 0
        if self.noted:
            pidfile.forget(self.name)

    def due(self):
        return self.last + PAUSE


def as_new():
    """In a child: signals as a program expects them, not as the supervisor has them."""
    sig.wakeup(-1)
    sig.default(sig.TERM, sig.CHLD, sig.HUP, sig.INT)
    sig.unblock(sig.TERM)


class Supervisor:
    def __init__(self):
        self.programs, self.readers, self.ending = [], {}, False
        self.logger = Kept("the logger", lambda: services.start_logger(self.readers, as_new), False)
        self.wake, _ = sig.wake_pipe()
        sig.catch(sig.TERM, self.end)
        sig.catch(sig.CHLD, lambda: None)
        sig.ignore(sig.HUP, sig.INT, sig.PIPE)
        self.pipes = []
        own = self.log_pipe("qmailctl")
        os.dup2(own, 2)                         # what we have to say ourselves goes there, too
        for service in services.wanted():
            self.keep(service, own)

    def log_pipe(self, name):
        """A log of this name; returns the descriptor to write to."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        self.pipes += [reader, writer]
        self.readers[name] = reader
        return writer

    def keep(self, service, own):
        log = self.log_pipe(service.name) if service.control else own       # rc starts a logger itself
        self.programs.append(Kept(service.name, lambda: services.start(service, log, as_new), True))

    def run(self):
        """Until SIGTERM, and then until every service has ended."""
        while not self.ending:
            self.start_due()
            self.wait()
        for program in self.programs:
            if program.pid:
                os.kill(program.pid, sig.TERM)
                os.kill(program.pid, sig.CONT)          # one that is paused could not end
        while any(program.pid for program in self.programs):
            self.wait()
        self.end_logger()

    def end(self):
        self.ending = True

    def start_due(self):
        now = time.monotonic()
        for kept in (self.logger, *self.programs):
            if not kept.pid and kept.due() <= now:
                try:
                    kept.start()
                except OSError:                         # no process to be had: again in a second
                    errors.say("qmailctl: warning: unable to start ", kept.name)

    def wait(self):
        """Until something happens, and not beyond the next start that is due."""
        idle = [kept.due() for kept in (self.logger, *self.programs) if not kept.pid]
        patience = max(0.0, min(idle) - time.monotonic()) if idle and not self.ending else None
        if select.select([self.wake], [], [], patience)[0]:
            sig.drain(self.wake)
        for pid, status in child.reap():
            for kept in (self.logger, *self.programs):
                if kept.pid == pid:
                    kept.ended()
                    if not self.ending:
                        errors.say(f"qmailctl: warning: {kept.name} ended with status "
                                   f"{status}, starting it again")

    def end_logger(self):
        """It ends when nobody can write to it any more."""
        for fd in (2, *self.pipes):
            os.close(fd)
        deadline = time.monotonic() + 5
        while self.logger.pid and time.monotonic() < deadline:
            select.select([self.wake], [], [], 0.1)
            if any(pid == self.logger.pid for pid, _ in child.reap()):
                self.logger.pid = 0
