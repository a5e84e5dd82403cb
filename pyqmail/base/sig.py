"""Signals without the `signal` module's import cost (its enums take 3 ms, more than some programs)."""
import os

import _signal

HUP, INT, QUIT, ABRT = _signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGABRT
KILL, PIPE = _signal.SIGKILL, _signal.SIGPIPE
ALRM, TERM, CHLD = _signal.SIGALRM, _signal.SIGTERM, _signal.SIGCHLD
ILL, FPE, BUS, SEGV, SYS = _signal.SIGILL, _signal.SIGFPE, _signal.SIGBUS, _signal.SIGSEGV, _signal.SIGSYS
STOP, CONT = _signal.SIGSTOP, _signal.SIGCONT
PROF, VTALRM, XCPU, XFSZ = _signal.SIGPROF, _signal.SIGVTALRM, _signal.SIGXCPU, _signal.SIGXFSZ

alarm = _signal.alarm
wakeup = _signal.set_wakeup_fd


def wake_pipe():
    """(reader, writer): the reader becomes readable whenever a signal that is caught arrives, so that a process
    can wait for signals and descriptors at once. Neither blocks."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    wakeup(writer)
    return reader, writer


def drain(reader):
    """Take everything out of a pipe of wake_pipe()."""
    try:
        while os.read(reader, 4096):
            pass
    except BlockingIOError:
        pass


def catch(number, handler):
    """handler() is called, without arguments, soon after the signal arrives."""
    _signal.signal(number, lambda *_: handler())


def ticks(seconds):
    """SIGALRM comes every so many seconds from now on; no more with 0."""
    _signal.setitimer(_signal.ITIMER_REAL, seconds, seconds)


def ignore(*numbers):
    for number in numbers:
        _signal.signal(number, _signal.SIG_IGN)


def default(*numbers):
    for number in numbers:
        _signal.signal(number, _signal.SIG_DFL)


def ignore_pipe():
    """A write to a pipe that nobody reads gives EPIPE (Python's start does this already)."""
    ignore(PIPE)


def block(*numbers):
    """Hold these signals back until unblock()."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, numbers)


def unblock(*numbers):
    """Let these signals through: qmail's spawners start programs with SIGCHLD blocked."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, numbers)
