"""The root part of the recipient check: who controls an address, and a process of that user to look.

**Security**: root, because it must become any user but root; reads nothing but orders of its front, one local address
each, bounded and cut into its two parts, and does as qmail-lspawn does, with the same code: the look-up happens as
qmailp (spawn.resolver), the rest as the user (spawn.warm, rcptcheck.look). Answers of those processes are letters.

Bounded: orders under way, processes that look, and those of one user, so that one home that hangs holds up nobody else.
"""
import os
import socket
from collections import deque, namedtuple

from ..base import errors, home
from ..users import lookup
from ..users.codes import Undecided
from . import wire

ORDERS = 1000                       # under way
LOOKING = 40                        # processes at once
OF_ONE_USER = 4
PATIENCE = 15                       # s; what has waited for so long nobody wants to know any more
SHOWN = 300                         # bytes of what is logged
PROGRAMS = ("qmail-send", "qmail-lspawn", "qmail-getpw", "qmail-local")

Order = namedtuple("Order", "number size local domain")
Look = namedtuple("Look", "order who since")        # its controller is known; it waits for a process, or has one


class Deciding:
    """loop: spawn.loop.Loop; front: a socket to the front; resolver: spawn.resolver.Resolver; pool: spawn.warm.Pool
    whose processes do look(); alone: the uid of a private home's owner, else None; clock: base.clock.Clock."""

    def __init__(self, loop, front, resolver, pool, alone, clock):
        self._loop, self._front, self._resolver, self._pool = loop, front, resolver, pool
        self._alone, self._clock = alone, clock
        self._under_way, self._looking, self._of = 0, 0, {}     # _of: (uid, gid) -> processes that look
        self._waiting = deque()
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.ended = False

    def run(self):
        """Until the front has gone, or end()."""
        self._loop.watch(self._front.fileno(), self._readable)
        while not self.ended:
            waits = [seconds for seconds in (self._pool.expire(), self._resolver.next(), self._give_up())
                     if seconds is not None]
            self._loop.turn(min(waits, default=None))

    def end(self):
        self.ended = True

    def forget(self):
        """Tell the front to believe nothing that it remembers."""
        self._send(wire.answer(wire.FORGET, [wire.LATER]))

    def _readable(self):
        try:
            packet = self._front.recv(wire.ORDER + 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        fields = wire.read_order(packet)
        if fields is None:
            self.end()
            return
        order = Order(*fields)
        self._under_way += 1
        if self._under_way > ORDERS:
            self._verdict(order, wire.LATER)
        elif not all(map(home.ours, PROGRAMS)):
            self._verdict(order, wire.KNOWN)    # somebody else's programs decide then: let them
        else:
            self._resolver.ask(order.local, True, lambda found: self._found(order, found))

    def _verdict(self, order, answer):
        self._under_way -= 1
        self._send(wire.answer(order.number, [answer]))

    def _send(self, packet):
        try:
            self._front.send(packet, socket.MSG_DONTWAIT)
        except OSError:
            pass                    # it gives up by itself

    def _cannot_tell(self, order, why):
        errors.say("warning: qmail-rcptcheck: cannot tell about ", shown(order.local), b"@", shown(order.domain), b": ",
                   shown(why))
        self._verdict(order, wire.LATER)

    def _found(self, order, found):
        """It is known who controls the address, or why not."""
        try:
            if isinstance(found, Undecided):
                raise found
            who = lookup.controller(found)
            if self._alone is not None and who.uid != self._alone:
                self._cannot_tell(order, b"this installation delivers only to its owner")
            elif not who.home.startswith(b"/") or not self._pool.fits(arguments(who, order)):
                self._verdict(order, wire.KNOWN)        # for qmail-local to refuse
            else:
                self._waiting.append(Look(order, who, self._clock.monotonic()))
                self._start_looking()
        except Undecided as why:
            self._cannot_tell(order, b"qmail-lspawn code %d" % why.code)
        except Exception as why:    # a bug must not cost the others anything
            errors.say("alert: qmail-rcptcheck: ", errors.unforeseen(why))
            self._verdict(order, wire.LATER)

    def _start_looking(self):
        """Hand what waits to processes, as many as there may be; who has all of his stays where he is."""
        for _ in range(len(self._waiting)):
            if self._looking >= LOOKING:
                return
            look = self._waiting.popleft()
            if self._of.get((look.who.uid, look.who.gid), 0) >= OF_ONE_USER:
                self._waiting.append(look)
            else:
                self._look(look)

    def _give_up(self):
        """Let go of what has waited for too long. Returns the seconds to the next one's end, None if there is none."""
        now = self._clock.monotonic()
        for _ in range(len(self._waiting)):
            look = self._waiting.popleft()
            if now - look.since > PATIENCE:
                self._verdict(look.order, wire.LATER)
            else:
                self._waiting.append(look)
        return 1 if self._waiting else None

    def _look(self, look):
        who, order = look.who, look.order
        user = who.uid, who.gid
        self._looking += 1
        self._of[user] = self._of.get(user, 0) + 1

        def ended(status, answer):
            self._looking -= 1
            self._of[user] -= 1
            if not self._of[user]:
                del self._of[user]
            if status == 0 and wire.valid(answer):
                self._verdict(order, answer)
            else:
                self._cannot_tell(order, answer.removeprefix(wire.LATER) or b"status %d" % status)
            self._start_looking()
        try:
            self._pool.deliver(*user, arguments(who, order), self._null, ended)
        except OSError as why:
            ended(-1, errors.text(why).encode())


def arguments(who, order):
    """What look() gets."""
    return who.home, who.dash, who.ext, order.domain, b"%d" % order.size


def shown(text):
    """Bytes of strangers as they may stand in the log."""
    return bytes(byte if 32 < byte < 127 else ord("_") if byte == 32 else ord("?") for byte in text[:SHOWN])
