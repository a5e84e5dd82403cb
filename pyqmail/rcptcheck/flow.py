"""Asking about recipients without waiting: for programs that serve many clients from one event loop.

    asker = Asker(loop)
    asker.ask(addresses, size, done)        # later, never at once: done([an answer each])

One connection for the whole process, with any number of questions under way. Whatever goes wrong is LATER.
"""
from ..base import errors
from . import wire
from .client import NOT_THERE, PATIENCE

QUIET = 10                          # s between two lines in the log that say the same


class Asker:
    """loop: anything with asyncio's add_reader, remove_reader, call_soon, call_later and time."""

    def __init__(self, loop):
        self._loop, self._socket, self._number, self._told = loop, None, 0, None
        self._waiting = {}              # number -> (when asked, how many answers, done), oldest first
        self._watch = None

    def ask(self, addresses, size, done):
        """Ask about at most wire.BATCH addresses; size: bytes of the message, 0 if not known yet."""
        self._number += 1
        question = wire.question(self._number, size, addresses)
        if not self._send(question) and not (self._connect() and self._send(question)):
            self._complain()
            self._loop.call_soon(done, [wire.LATER] * len(addresses))
            return
        self._waiting[self._number] = (self._loop.time(), len(addresses), done)
        if self._watch is None:
            self._watch = self._loop.call_later(PATIENCE, self._expire)

    def _send(self, question):
        """False if that connection is of no use."""
        if self._socket is None:
            return False
        try:
            self._socket.send(question)
            return True
        except OSError:                 # gone; or it does not keep up
            self._lost()
            return False

    def _connect(self):
        self._socket = wire.connect()
        if self._socket is None:
            return False
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket.fileno(), self._readable)
        return True

    def _readable(self):
        try:
            packet = self._socket.recv(wire.PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        answer = wire.read_answer(packet)
        if answer is None:
            self._lost()
            return
        number, answers = answer
        _, count, done = self._waiting.pop(number, (0, 0, None))
        if done:
            done(answers if len(answers) == count else [wire.LATER] * count)

    def _lost(self):
        """The service has gone: nobody will answer what is under way."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        waiting, self._waiting = self._waiting, {}
        self._give_up(waiting.values())

    def _expire(self):
        """Give up what was asked too long ago."""
        self._watch, now, late = None, self._loop.time(), []
        for number, (asked, count, done) in list(self._waiting.items()):
            if now - asked < PATIENCE:
                self._watch = self._loop.call_later(asked + PATIENCE - now, self._expire)
                break
            late.append(self._waiting.pop(number))
        self._give_up(late)

    def _give_up(self, questions):
        if questions:
            self._complain()
        for _, count, done in questions:
            self._loop.call_soon(done, [wire.LATER] * count)

    def _complain(self):
        if self._told is None or self._loop.time() - self._told > QUIET:
            self._told = self._loop.time()
            errors.say(NOT_THERE)
