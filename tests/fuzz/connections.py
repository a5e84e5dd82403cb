"""One connection to a mail server that carries message after message: smtp/connection.py and smtp/client.py with a
socket, a loop and a clock that are made of the input, and a server that is. The server knows what it has taken."""
import heapq
import os
import re

from pyqmail.smtp import client
from pyqmail.smtp.connection import Connection

from . import models
from .reading import Input

MUTE = 999
TIMEOUT = 60                        # s, as control/timeoutremote
CODES = {b"EHLO": 250, b"HELO": 250, b"MAIL": 250, b"RCPT": 250, b"DATA": 354, b"QUIT": 221}


class Server:
    """What it says is in `said`, until it is read; `over`: it has hung up. given: how it behaves. taken: messages
    that it has accepted, (sender, recipients, text). noisy: it has said more than it was asked, or nothing at all
    where it should have."""

    def __init__(self, given, honest):
        self.given, self.honest = given, honest
        self.said, self.over, self.noisy, self.taken = b"", False, False, []
        self._heard, self._text, self._sender, self._recipients = b"", None, None, []
        self._pipelining = False
        self.received = b""
        self.answer(220)

    def hear(self, data):
        """What the client sent."""
        if self._text is None and not self._heard and not self._pipelining and not self.noisy:
            assert data.count(b"\n") < 2, data                          # one command, one reply
        self.received += data
        self._heard += data
        while not self.over and self._heard:
            if self._text is not None:
                self._text += self._heard
                self._heard = b""
                if not self._ended():
                    return
            line, newline, rest = self._heard.partition(b"\r\n")
            if not newline:
                return
            self._heard = rest
            self._command(line)

    def _ended(self):
        """True if the text is complete."""
        end = (b"\r\n" + self._text).find(models.EOD)
        if end < 0:
            return False
        text, self._heard = self._text[:end + 3], self._text[end + 3:]
        self._text = None
        code = self.answer(250)
        if code < 400 or code == MUTE and self.given.flag():
            self.taken.append((self._sender, list(self._recipients), models.unstuffed(text)))
        return True

    def _command(self, line):
        verb = line[:4].upper()
        assert self.noisy or verb in CODES and b"\n" not in line and b"\r" not in line, line
        if verb == b"EHLO":
            self.answer(250, b"PIPELINING" if self.given.flag() else b"SIZE")
            self._pipelining = b"PIPELINING" in self.said.upper()
            return
        if verb == b"MAIL":
            self._sender, self._recipients = None, []
        elif verb == b"DATA" and not self._recipients:
            self.answer(503, kind=0)
            return
        code = self.answer(CODES.get(verb, 500))
        if verb == b"MAIL" and code < 400:
            self._sender = models.smtp_address(line[5:])
        elif verb == b"RCPT" and code < 400:
            self._recipients.append(models.smtp_address(line[5:]))
        elif verb == b"DATA" and code < 400:
            self._text = b""
        elif verb == b"QUIT":
            self.over = True

    def answer(self, code, keyword=b"", kind=None):
        """Say something about what was heard; its code, MUTE for nothing that could be heard."""
        kind = self.given.byte() if kind is None else kind
        if kind % 16 in (1, 2):
            code = 450 if kind % 16 == 1 else 550
        elif kind % 16 == 3:
            code = 421
        elif kind % 16 == 4:
            self.over = True
            return MUTE
        elif kind % 16 == 5 and not self.honest:
            self.noisy = True           # one reply too many
            self.said += b"250 twice\r\n"
        elif kind % 16 == 6 and not self.honest:
            self.noisy = True           # none at all
            return MUTE
        elif kind % 16 == 7:
            self.said += b"%d-more\r\n" % code
        elif kind % 16 == 8:
            self.said += b"%d-%b\r\n" % (code, self.given.line().translate(None, b"\r"))
        self.said += b"%d-%b\r\n" % (code, b"far.example") * bool(keyword) + b"%d %b\r\n" % (code, keyword or b"ok")
        if code == 421:
            self.over = True
        return code


class Socket:
    """The client's end. What is sent may be taken in pieces, and what is heard may come in pieces."""

    def __init__(self, given, server):
        self._given, self._server, self.closed = given, server, False

    def fileno(self):
        return 99

    def send(self, data):
        assert not self.closed
        kind = self._given.byte() % 8
        if self._server.over:
            raise BrokenPipeError(32, "broken pipe")
        if kind == 1:
            raise BlockingIOError
        size = max(1, len(data) // 2) if kind == 2 else min(len(data), 3) if kind == 3 else len(data)
        self._server.hear(data[:size])
        return size

    def recv(self, size):
        assert not self.closed
        kind = self._given.byte() % 8
        if not self._server.said:
            if self._server.over:
                return b""
            raise BlockingIOError
        if kind == 1 and self._server.over:
            raise ConnectionResetError(104, "connection reset")
        size = 1 if kind == 2 else 5 if kind == 3 else size
        found, self._server.said = self._server.said[:size], self._server.said[size:]
        return found

    @property
    def readable(self):
        return bool(self._server.said) or self._server.over

    def close(self):
        self.closed = True


class Future:
    def __init__(self):
        self.result = None

    def done(self):
        return self.result is not None

    def set_result(self, result):
        self.result = (result,)

    def set_exception(self, why):
        raise AssertionError("a fault of ours") from why


class Timer:
    def __init__(self):
        self.on = True

    def cancel(self):
        self.on = False


class Loop:
    """The part of asyncio's loop that a Connection asks for."""

    def __init__(self):
        self._now, self._timers, self._soon, self._count = 1000.0, [], [], 0
        self.reader = self.writer = None

    def time(self):
        return self._now

    def create_future(self):
        return Future()

    def call_at(self, when, function):
        timer, self._count = Timer(), self._count + 1
        heapq.heappush(self._timers, (when, self._count, timer, function))
        return timer

    def call_soon(self, function):
        self._soon.append(function)

    def add_reader(self, fd, function):
        assert fd == 99
        self.reader = function

    def remove_reader(self, fd):
        self.reader = None

    def add_writer(self, fd, function):
        assert fd == 99
        self.writer = function

    def remove_writer(self, fd):
        self.writer = None

    @property
    def waiting(self):
        return [timer for _, _, timer, _ in self._timers if timer.on]

    def turn(self, sock):
        """Call back whoever can be; let time pass if nobody can."""
        if self._soon:
            self._soon.pop(0)()
        elif self.writer:
            self.writer()
        elif self.reader and sock.readable:
            self.reader()
        else:
            while self._timers:
                when, _, timer, function = heapq.heappop(self._timers)
                if timer.on:
                    self._now = max(self._now, when)
                    function()
                    return
            raise AssertionError("nothing will ever happen")


class World:
    """The connections that messages go over, one after the other, as smtp.carrier has it."""

    def __init__(self, given, honest):
        self.given, self.honest, self.loop = given, honest, Loop()
        self.connection = self.server = self.sock = None

    def connect(self, extended):
        self.server = Server(self.given, self.honest)
        self.sock = Socket(self.given, self.server)
        self.connection = Connection(self.loop, self.sock, client.Peer(b"192.0.2.1", b"here.example", extended))

    def leave(self, farewell=b""):
        if self.connection:
            self.connection.close(farewell)
            assert self.sock.closed and not self.loop.reader and not self.loop.writer and not self.loop.waiting
        self.connection = None

    def deliver(self, number, sender, recipients, message, stays):
        """(report, the server that had it, how much it had heard before)."""
        fd = os.memfd_create("fuzz", os.MFD_CLOEXEC)
        os.write(fd, message)
        kept = self.connection is not None
        if not kept:
            self.connect(extended=stays)
        before = len(self.server.taken)
        session = client.Session(self.connection.peer, sender, recipients, staying=lambda: stays)
        done = self.connection.run(session, fd, TIMEOUT)
        for _ in range(20_000):
            if done.done():
                break
            self.loop.turn(self.sock)
        else:
            raise AssertionError("a dialogue without an end")
        os.close(fd)
        taken = self.server.taken[before:]
        check(session, self.server, taken, (sender, recipients, message), kept or stays)
        if session.stays:
            self.connection.left = lambda connection: self.leave()
        else:
            self.leave()
        return session.stale


def check(session, server, taken, message, may_be_stale):
    sender, recipients, text = message
    letters = b"".join(record[:1] for record in session.report.split(b"\0")[:-1])
    dots = models.EOD in server.received or b"\r\n.\r\n" in b"\r\n" + server.received
    assert len(taken) <= 1
    assert not session.stays or letters.endswith(b"K")
    if session.stale:
        assert may_be_stale and not session.report
        assert not taken, "a message that was taken is sent again"
        return
    assert re.fullmatch(rb"[rsh]*[KZD]", letters), session.report
    assert b"K" not in letters or dots
    if server.noisy:
        return
    if letters.endswith(b"K"):
        assert len(taken) == 1
    for taken_sender, taken_recipients, taken_text in taken:
        assert taken_sender == sender and taken_text == text, (taken, message)
        agreed = [each for each, letter in zip(recipients, letters) if letter == ord("r")]
        assert taken_recipients == agreed, (taken_recipients, letters)
        assert letters.endswith(b"K") or b"Possible duplicate" in session.report, session.report


def kept_connections(data):
    """Whatever a server says and whenever it hangs up: a message is reported as accepted if and only if the server
    has it, the same to the byte; one that the server may have is not sent again without a word of that; and a
    connection that is closed leaves nothing in the loop."""
    given = Input(data)
    honest, count, messages = given.flag(), 1 + given.byte() % 4, []
    for _ in range(count):
        sender = given.line().translate(None, b"\0\r") + b"@a.example"
        recipients = [b"%b@b.example" % given.line().translate(None, b"\0\r") for _ in range(1 + given.byte() % 3)]
        messages.append((sender, recipients, given.line().replace(b"~", b"\n").replace(b"\r", b"") + b"\n"))
    stays, world = given.byte(), World(given, honest)
    for number, message in enumerate(messages):
        if world.deliver(number, *message, stays=bool(stays >> number & 1)):
            assert not world.deliver(number, *message, stays=False), "stale on a fresh connection"
        if world.connection and given.flag():       # it speaks, or not, while nobody asks it
            world.server.said += b"421 bye\r\n" * given.flag()
            world.server.over = True
            world.loop.turn(world.sock)
            assert not world.connection
    world.leave(b"QUIT\r\n")
