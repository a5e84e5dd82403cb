"""Many deliveries to one server: which connections they share, and what becomes of one whose connection ends."""
import asyncio
import os

import pytest

from pyqmail.smtp.carrier import Carrier

SERVED = b"K127.0.0.1 accepted message.\nRemote host said: 250 done\n"
DUPLICATE = b"ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n"
HELLO, MAIL, RCPT, DATA, TEXT = "hello", "MAIL", "RCPT", "DATA", "text"


class Server:
    """Has room for `room` connections at once; the others get no greeting yet. A recipient hold@… has no answer before
    `release`. die: (which message of a connection, step) where the first connection after that ends; refuse: what it
    says before. wires, texts: without hold@'s."""

    def __init__(self, room=10, die=None, refuse=b"", offer=b"250-far\r\n250 PIPELINING\r\n"):
        self.room, self.die, self.refuse, self.offer = asyncio.Semaphore(room), die, refuse, offer
        self.wires, self.texts = [], []
        self.held, self.release = asyncio.Event(), asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=4000)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _connected(self, reader, writer):
        async with self.room:
            try:
                writer.write(b"220 hi\r\n")
                if line := await reader.readline():
                    await self._serve(line, reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()

    async def _serve(self, line, reader, writer):
        wire, count = bytearray(), 0
        first = not self.wires and self.held.is_set()
        if self.held.is_set():
            self.wires.append(wire)
        while line:
            wire += line
            verb = line[:4].strip()
            if verb == b"QUIT":
                return
            count += verb == b"MAIL"
            step = {b"MAIL": MAIL, b"RCPT": RCPT, b"DATA": DATA}.get(verb, HELLO)
            if first and (count, step) == self.die:
                writer.write(self.refuse)
                return
            if b"hold@" in line:
                self.held.set()
                await self.release.wait()
            writer.write({b"EHLO": self.offer, b"DATA": b"354 go\r\n"}.get(verb, b"250 ok\r\n"))
            if step == DATA:
                text = await reader.readuntil(b"\r\n.\r\n")
                wire += text
                if b"hold@" not in wire:
                    self.texts.append(text)
                if first and (count, TEXT) == self.die:
                    return
                writer.write(b"250 done\r\n")
            line = await reader.readline()


def deliver(place, server, count, crowd=True):
    """The reports of `count` deliveries one after the other, each to a recipient of its own; with another one to the
    same server under way all the time, if there is to be a crowd."""
    async def everything(peer, carrier, message):
        def one(name):
            return carrier.deliver(message, b"far.test", b"s@a", [b"%b@far.test" % name])
        held = asyncio.ensure_future(one(b"hold")) if crowd else None
        if crowd:
            await peer.held.wait()
        peer.held.set()
        found = [text for number in range(count) for text in await one(b"%d" % number)]
        peer.release.set()
        assert not held or await held == [SERVED]
        return peer, found
    return run(place, server, everything)


def run(place, server, everything):
    async def within():
        async with server() as peer:
            (place / "control/smtproutes").write_bytes(b":127.0.0.1:%d\n" % peer.port)
            carrier, message = Carrier(), os.open(place / "message", os.O_RDONLY)
            try:
                return await everything(peer, carrier, message)
            finally:
                carrier.close()
                os.close(message)
    return asyncio.run(within())


def recipients(wire):
    return [line for line in bytes(wire).split(b"\r\n") if line.startswith(b"RCPT")]


def test_a_server_with_little_room_serves_everybody(place):
    """A connection that is kept does not stand in the way of those who wait for a greeting."""
    async def everything(peer, carrier, message):
        peer.held.set()
        return peer, await asyncio.gather(*(
            carrier.deliver(message, b"far.test", b"s@a", [b"%d@far.test" % number]) for number in range(12)))
    server, reports = run(place, lambda: Server(room=2), everything)
    assert reports == [[SERVED]] * 12
    assert len(server.texts) == 12


def test_every_message_has_a_transaction_of_its_own(place):
    server, reports = deliver(place, Server, 5)
    assert reports == [SERVED] * 5 and len(server.wires) == 1
    wire = bytes(server.wires[0])
    assert [wire.count(word) for word in (b"LO me.example", b"MAIL FROM:<s@a>", b"RCPT", b"DATA\r\n")] == [1, 5, 5, 5]


def test_no_more_messages_than_allowed_on_a_connection(place):
    (place / "control/remotemessages").write_bytes(b"4\n")
    server, reports = deliver(place, Server, 12)
    assert reports == [SERVED] * 12
    assert [len(recipients(wire)) for wire in server.wires] == [4, 4, 4]


def test_one_message_each_is_what_qmail_remote_does(place):
    (place / "control/remotemessages").write_bytes(b"1\n")
    server, reports = deliver(place, Server, 4)
    assert reports == [SERVED] * 4
    assert [bytes(wire) for wire in server.wires] == [
        b"HELO me.example\r\nMAIL FROM:<s@a>\r\nRCPT TO:<%d@far.test>\r\nDATA\r\nSubject: t\r\n\r\n..hello\r\n.\r\n"
        b"QUIT\r\n" % number for number in range(4)]


@pytest.mark.parametrize("offer", [b"250 far\r\n", b"250-far\r\n250 PIPELINING\r\n", b"502 what\r\n"])
@pytest.mark.parametrize("step", [MAIL, RCPT, DATA])
def test_a_kept_connection_that_dies_before_the_text_is_nobodys_report(place, step, offer):
    server, reports = deliver(place, lambda: Server(die=(2, step), offer=offer), 3)
    assert reports == [SERVED] * 3
    assert len(server.texts) == 3
    assert server.wires[1].startswith(b"HELO") and server.wires[1].endswith(b"QUIT\r\n"), "a plain attempt"


@pytest.mark.parametrize("refuse", [b"421 enough\r\n", b"452 enough\r\n", b"550 enough\r\n"])
def test_a_server_that_has_had_enough_messages_gets_the_next_on_a_fresh_connection(place, refuse):
    server, reports = deliver(place, lambda: Server(die=(2, MAIL), refuse=refuse), 3)
    assert reports == [SERVED] * 3
    assert len(server.texts) == 3


def test_a_kept_connection_that_dies_after_the_text_is_a_possible_duplicate(place):
    """It is not tried again at once: the server may have the message."""
    server, reports = deliver(place, lambda: Server(die=(2, TEXT)), 3)
    assert reports == [SERVED, DUPLICATE, SERVED]
    assert len(server.texts) == 3


def test_a_server_that_dies_of_ehlo_is_served_with_helo(place):
    server, reports = deliver(place, lambda: Server(die=(0, HELLO)), 3)
    assert reports == [SERVED] * 3
    assert [wire[:4] for wire in server.wires] == [b"EHLO", b"HELO", b"EHLO"]


def test_a_delivery_alone_leaves_with_quit(place):
    server, reports = deliver(place, Server, 1, crowd=False)
    assert reports == [SERVED]
    assert bytes(server.wires[0]).startswith(b"HELO") and bytes(server.wires[0]).endswith(b"\r\n.\r\nQUIT\r\n")


def test_big_messages(place):
    text = b"x" * 99 + b"\n"
    (place / "message").write_bytes(text * 20_000)
    server, reports = deliver(place, Limitless, 3, crowd=False)
    assert reports == [SERVED] * 3
    assert server.texts == [text[:-1] + b"\r\n"] * 3 and server.lengths == [20_000 * 101 + 3] * 3


class Limitless(Server):
    """Keeps the first line and the length of a text only: asyncio's readuntil() has a limit."""

    async def _serve(self, line, reader, writer):
        self.wires.append(line)
        self.lengths = getattr(self, "lengths", [])
        while line and line != b"QUIT\r\n":
            writer.write({b"EHLO": self.offer, b"DATA": b"354 go\r\n"}.get(line[:4].strip(), b"250 ok\r\n"))
            if line == b"DATA\r\n":
                self.texts.append(await reader.readline())
                length, tail = len(self.texts[-1]), b""
                while tail != b"\r\n.\r\n":
                    data = await reader.read(1 << 16)
                    length, tail = length + len(data), (tail + data)[-5:]
                self.lengths.append(length)
                writer.write(b"250 done\r\n")
            line = await reader.readline()
