"""Warm qmail-local processes: one for each user who is receiving mail now, ready for the next delivery.

**Security**: forked from root, each becomes its user for good before it sees any message, serves that
uid and gid for its whole life and cannot be traced or dumped by other processes of the same user. It has
no descriptor but its socket, QMAILHOME and those of the delivery it is carrying out, and it hears
of the next delivery only when it has reported the last.

Order: one packet, the eight arguments of qmail-local and what is known of the delivery's identity (spawn.identity:
number, b"1" for a possible repeat) separated by NUL, with two descriptors, the message and the writing end of the
output pipe. Answer: one packet, b"CODE 0", or b"CODE 1" from a
process that should not be used again.
"""
import os
import socket
from collections import OrderedDict

from ..base import prot, sig
from ..users.codes import BUG, SYSTEM

IDLE_PROCESSES = 20                 # processes without work that are kept; the least recently used goes
IDLE_TIME = 60                      # s without work after which a process goes
DELIVERIES_MAX = 1000               # of one process
AGE_MAX = 3600                      # s of one process
PACKET = 50_000                     # bytes; longer arguments take the way through bin/qmail-local
SOCKET, HOME, NULL = 3, 4, 5        # descriptors of the process
LOWEST_FREE = 6


class Process:
    """A warm process. ended: whom to tell about the delivery under way; None while it is idle."""

    def __init__(self, sock, user, born):
        self.socket, self.user, self.born = sock, user, born
        self.deliveries, self.idle_since, self.ended = 0, born, None


class Pool:
    """All warm processes. deliver: callable(arguments) -> exit code, carried out in them; umask and home_fd
    are what each of their deliveries starts with; clock: base.clock.Clock."""

    def __init__(self, loop, deliver, home_fd, umask, clock):
        self._loop, self._deliver, self._home_fd, self._umask, self._clock = loop, deliver, home_fd, umask, clock
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._idle = OrderedDict()      # Process -> None, least recently used first

    def deliver(self, uid, gid, arguments, message, output, ended):
        """Have a delivery done as uid:gid. ended(status) is called when the process is done with it: an exit
        code, or minus a signal's number. The descriptors may be closed at once. Raises OSError: no fork."""
        packet = b"\0".join(arguments)
        for fresh in (False, True):
            process = self._start((uid, gid)) if fresh else self._take((uid, gid))
            if process and self._send(process, packet, (message, output)):
                process.ended = ended
                process.deliveries += 1
                return
        ended(SYSTEM)

    @staticmethod
    def fits(arguments):
        """True if these arguments can be handed to a warm process."""
        return sum(map(len, arguments)) < PACKET

    def expire(self):
        """Let go of processes that were idle for long. Returns the seconds to the next one's end, None
        if there is none."""
        now = self._clock.monotonic()
        while self._idle:
            oldest = next(iter(self._idle))
            if now - oldest.idle_since < IDLE_TIME:
                return oldest.idle_since + IDLE_TIME - now
            self._retire(oldest)
        return None

    def _take(self, user):
        """An idle process of this user, the one used last; None."""
        for process in reversed(self._idle):
            if process.user == user:
                del self._idle[process]
                return process
        return None

    def _start(self, user):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = Process(ours, user, self._clock.monotonic())
        try:
            self._loop.fork(lambda: serve(user, self._deliver, self._umask),
                            {SOCKET: theirs.fileno(), HOME: self._home_fd, NULL: self._null},
                            lambda status: self._died(process, status))
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._loop.watch(ours.fileno(), lambda: self._readable(process))
        return process

    def _send(self, process, packet, fds):
        try:
            socket.send_fds(process.socket, [packet], fds)
            return True
        except OSError:                 # it died while it had nothing to do
            self._retire(process)
            return False

    def _readable(self, process):
        answer = receive(process.socket)
        if answer is None:
            return
        if not process.ended:                       # it ended, or it speaks without being asked
            self._retire(process)
            return
        if not answer:                              # how it ended is known when it is reaped
            self._loop.forget(process.socket.fileno())
            return
        code, spent = understood(answer)
        ended, process.ended = process.ended, None
        self._lay_by(process, spent)
        ended(code)

    def _lay_by(self, process, spent):
        """Keep a process that has finished a delivery, unless it has done enough."""
        process.idle_since = self._clock.monotonic()
        if spent or process.deliveries >= DELIVERIES_MAX or process.idle_since - process.born >= AGE_MAX:
            self._retire(process)
            return
        self._idle[process] = None
        if len(self._idle) > IDLE_PROCESSES:
            self._retire(next(iter(self._idle)))

    def _retire(self, process):
        """Let go of an idle process: it ends at end of file."""
        self._idle.pop(process, None)
        if process.socket.fileno() >= 0:
            self._loop.forget(process.socket.fileno())
            process.socket.close()

    def _died(self, process, status):
        ended, process.ended = process.ended, None
        if ended:
            answer = receive(process.socket)        # one given just before the end counts
            ended(understood(answer)[0] if answer else status)
        self._retire(process)


def receive(sock):
    """What a process answered; None if it has not yet, b"" if it never will."""
    try:
        return sock.recv(64, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def understood(answer):
    """(exit code, True if the process is spent) of an answer. Who answers is not root: it may be anything."""
    code, _, spent = answer.partition(b" ")
    if code.isdigit() and len(code) <= 3 and spent in (b"0", b"1"):
        return int(code), spent == b"1"
    return BUG, True


def serve(user, deliver, umask):
    """The process, from its first moment as root to its end."""
    prot.become(*user)
    prot.not_dumpable()
    sock = socket.socket(fileno=SOCKET)
    while True:
        packet, fds, _, _ = socket.recv_fds(sock, 2 * PACKET, 2, socket.MSG_CMSG_CLOEXEC)
        if len(fds) != 2:
            os._exit(0)                 # end of file: qmail-lspawn does not need us any more, or is gone
        code, sound = one_delivery(deliver, packet.split(b"\0"), *fds, umask)
        sound = sound and lowest_free() == LOWEST_FREE
        sock.send(b"%d %d" % (code, not sound))
        if not sound:
            os._exit(0)


def one_delivery(deliver, arguments, message, output, umask):
    """(exit code, True if the process is as it was before): deliver with the descriptors that a newly
    executed qmail-local has."""
    for source, targets in ((message, (0,)), (output, (1, 2))):
        for target in targets:
            os.dup2(source, target)
        os.close(source)
    os.fchdir(HOME)
    os.umask(umask)
    sound = True
    try:
        code = deliver(arguments)
    except Exception as why:
        detail = f"{type(why).__name__}: {why}"[:300].encode("utf-8", "replace")
        os.write(2, b"Unable to deliver: %b. (#4.3.0)\n" % detail)
        code, sound = 111, False
    sig.alarm(0)
    for target in (0, 1, 2):            # whoever waits for the end of the output must not wait for us
        os.dup2(NULL, target)
    return code, sound


def lowest_free():
    """The number the next descriptor gets: it tells whether a delivery left one open."""
    fd = os.dup(NULL)
    os.close(fd)
    return fd
