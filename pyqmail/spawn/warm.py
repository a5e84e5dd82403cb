"""Warm qmail-local processes: one for each user who is receiving mail now, ready for the next delivery.

**Security**: forked from root, each becomes its user for good before it sees any message, serves that
uid and gid for its whole life and cannot be traced or dumped by other processes of the same user. It has
no descriptor but its socket, its output pipe and those of the delivery it is carrying out, and it hears
of the next delivery only when it has reported the last.

Order: one packet, the eight arguments of qmail-local and what is known of the delivery's identity (spawn.identity:
number, b"1" for a possible repeat) separated by NUL, with the descriptor of the message.

Answer: one packet, b"CODE SPENT HANDED TEXT". SPENT is b"1" if the process should not be used again, TEXT what there is
to say. HANDED is b"1" if commands may have the process's output pipe: then TEXT is in the pipe, behind what they said,
the delivery is over when everybody has closed it, and the next order brings a new one as a second descriptor. A pipe
for each delivery cost qmail-lspawn a third of its time.
"""
import os
import socket
from collections import OrderedDict

from ..base import errors, netio, prot
from ..users.codes import BUG, SYSTEM
from .ending import OUTPUT_MAX, bounded
from .hearing import Hearing

IDLE_PROCESSES = 20                 # processes without work that are kept; the least recently used goes
IDLE_TIME = 60                      # s without work after which a process goes
DELIVERIES_MAX = 1000               # of one process
AGE_MAX = 3600                      # s of one process
PACKET = 50_000                     # bytes; longer arguments take the way through bin/qmail-local
ANSWER = OUTPUT_MAX + 20            # bytes
OUTPUT, ERRORS, SOCKET, NULL = 1, 2, 3, 4       # descriptors of the process; OUTPUT and ERRORS are one pipe
LOWEST_FREE = 5
FLAGS = (b"0", b"1")


class Process:
    """A warm process. ended: whom to tell about the delivery under way; None while it is idle. hearing: the reading
    end of its output pipe; None once commands may have the other one."""

    def __init__(self, sock, user, born, hearing):
        self.socket, self.user, self.born, self.hearing = sock, user, born, hearing
        self.deliveries, self.idle_since, self.ended = 0, born, None


class Pool:
    """All warm processes. deliver(arguments, message), carried out in them, gives (exit code, text, True if somebody
    else may have been given OUTPUT or ERRORS); clock: base.clock.Clock."""

    def __init__(self, loop, deliver, clock):
        self._loop, self._deliver, self._clock = loop, deliver, clock
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._idle = OrderedDict()      # Process -> None, least recently used first

    def deliver(self, uid, gid, arguments, message, ended):
        """Have a delivery done as uid:gid. ended(status, text) is called when the process is done with it and nobody
        holds its output any more. status: an exit code, or minus a signal's number. The descriptor `message` may be
        closed at once. Raises NoPipe, OSError: no fork."""
        packet = b"\0".join(arguments)
        for fresh in (False, True):
            process = self._start((uid, gid)) if fresh else self._take((uid, gid))
            if process and self._send(process, packet, message):
                process.ended = ended
                process.deliveries += 1
                return
        ended(SYSTEM, b"")

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
        hearing, ours, theirs = Hearing(self._loop), None, None
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            process = Process(ours, user, self._clock.monotonic(), hearing)
            self._loop.fork(lambda: serve(user, self._deliver),
                            {OUTPUT: hearing.writer, ERRORS: hearing.writer, SOCKET: theirs.fileno(), NULL: self._null},
                            lambda status: self._died(process, status))
        except OSError:
            hearing.close()
            if ours:
                ours.close()
            raise
        finally:
            hearing.handed_on()
            if theirs:
                theirs.close()
        self._loop.watch(ours.fileno(), lambda: self._readable(process))
        return process

    def _send(self, process, packet, message):
        new = None
        if process.hearing is None:
            try:
                new = process.hearing = Hearing(self._loop)
            except OSError:
                self._idle[process] = None
                raise
        try:
            socket.send_fds(process.socket, [packet], [message, new.writer] if new else [message])
            return True
        except OSError:                 # it died while it had nothing to do
            self._retire(process)
            return False
        finally:
            if new:
                new.handed_on()

    def _readable(self, process):
        answer = receive(process.socket)
        if answer is None:
            return
        if not process.ended:                       # it ended, or it speaks without being asked
            self._retire(process)
        elif answer:
            self._answered(process, answer)
        else:                                       # how it ended is known when it is reaped
            self._loop.forget(process.socket.fileno())

    def _answered(self, process, answer):
        code, spent, handed, text = understood(answer)
        ended, process.ended = process.ended, None
        if handed:
            heard, process.hearing = process.hearing, None
            self._lay_by(process, spent)
            heard.end(lambda said: ended(code, said))
        else:
            text = process.hearing.so_far() + text      # nobody else has the pipe; a bug may have spoken there
            self._lay_by(process, spent)
            ended(code, bounded(text))

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
        if process.hearing:
            process.hearing.close()
            process.hearing = None
        if process.socket.fileno() >= 0:
            self._loop.forget(process.socket.fileno())
            process.socket.close()

    def _died(self, process, status):
        if process.ended:
            answer = receive(process.socket)        # one given just before the end counts
            if answer:
                self._answered(process, answer)
            else:
                ended, process.ended = process.ended, None
                heard, process.hearing = process.hearing, None
                heard.end(lambda said: ended(status, said))
        self._retire(process)


def receive(sock):
    """What a process answered; None if it has not yet, b"" if it never will."""
    try:
        return sock.recv(ANSWER, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def understood(answer):
    """(exit code, True if the process is spent, True if its pipe was handed out, text) of an answer. Who answers is not
    root: it may be anything."""
    code, spent, handed, text = (answer.split(b" ", 3) + [b""] * 3)[:4]
    if code.isdigit() and len(code) <= 3 and spent in FLAGS and handed in FLAGS and not (text and handed == b"1"):
        return int(code), spent == b"1", handed == b"1", text
    return BUG, True, False, b""


def serve(user, deliver):
    """The process, from its first moment as root to its end."""
    prot.become(*user)
    prot.not_dumpable()
    os.chdir("/")
    sock = socket.socket(fileno=SOCKET)
    while True:
        packet, fds, _, _ = socket.recv_fds(sock, 2 * PACKET, 2, socket.MSG_CMSG_CLOEXEC)
        if not fds:
            os._exit(0)                 # end of file: qmail-lspawn does not need us any more, or is gone
        message, *output = fds
        for new in output:
            hold(new)
            os.close(new)
        code, text, handed, sound = one_delivery(deliver, packet.split(b"\0"), message)
        os.close(message)
        if handed:                      # whoever waits for the end of the output must not wait for us
            say(text)
            text = b""
            hold(NULL)
        sound = sound and lowest_free() == LOWEST_FREE
        sock.send(b"%d %d %d %b" % (code, not sound, handed, text[:OUTPUT_MAX + 1]))
        if not sound:
            os._exit(0)


def hold(output):
    """Make descriptors 1 and 2 copies of `output`."""
    os.dup2(output, OUTPUT)
    os.dup2(output, ERRORS)


def say(text):
    """Write to the pipe. Nobody may be left to read it; that must not change the outcome."""
    try:
        netio.write_all(OUTPUT, text)
    except OSError:
        pass


def one_delivery(deliver, arguments, message):
    """(exit code, text, True if others may have the pipe, True if the process is as it was before)."""
    try:
        return *deliver(arguments, message), True
    except Exception as why:
        detail = f"{type(why).__name__}: {why}"[:300].encode("utf-8", "replace")
        return errors.TEMPORARY, b"Unable to deliver: %b. (#4.3.0)\n" % detail, True, False


def lowest_free():
    """The number the next descriptor gets: it tells whether a delivery left one open."""
    fd = os.dup(NULL)
    os.close(fd)
    return fd
