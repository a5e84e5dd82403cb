"""Many deliveries to one server: which connections they share, and what becomes of one whose connection ends."""
import asyncio
import os

import pytest

from pyqmail.base import home
from pyqmail.smtp.carrier import Carrier

SERVED = b"K127.0.0.1 accepted message.\nRemote host said: 250 done\n"
DUPLICATE = b"ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n"
HELLO, MAIL, RCPT, DATA, TEXT = "hello", "MAIL", "RCPT", "DATA", "text"


class Server:
    """Has room for `room` connections at once; the others get no greeting yet. die: (which message of a connection,
    step) where its first connection ends; refuse: the same, with a reply before the end."""

    def __init__(self, room=1, die=None, refuse=b"", offer=b"250-far\r\n250 PIPELINING\r\n"):
        self.room, self.die, self.refuse, self.offer = asyncio.Semaphore(room), die, refuse, offer
        self.wires, self.texts = [], []

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
        self.wires.append(wire)
        first = len(self.wires) == 1
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
            writer.write({b"EHLO": self.offer, b"DATA": b"354 go\r\n"}.get(verb, b"250 ok\r\n"))
            if step == DATA:
                text = await reader.readuntil(b"\r\n.\r\n")
                wire += text
                self.texts.append(text)
                if first and (count, TEXT) == self.die:
                    return
                writer.write(b"250 done\r\n")
            line = await reader.readline()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    (tmp_path / "control/me").write_bytes(b"me.example\n")
    (tmp_path / "message").write_bytes(b"Subject: t\n\n.hello\n")
    return tmp_path


def deliver(place, server, count):
    """The reports of `count` deliveries at once, each to a recipient of its own."""
    async def everything():
        peer = server()
        async with peer:
            (place / "control/smtproutes").write_bytes(b":127.0.0.1:%d\n" % peer.port)
            carrier, message = Carrier(), os.open(place / "message", os.O_RDONLY)
            try:
                found = await asyncio.gather(*(
                    carrier.deliver(message, b"far.test", b"s@a", [b"%d@far.test" % number]) for number in range(count)))
            finally:
                carrier.close()
                os.close(message)
        return peer, [text for [text] in found]
    return asyncio.run(everything())


def recipients(wire):
    return [line for line in bytes(wire).split(b"\r\n") if line.startswith(b"RCPT")]


def test_a_server_with_little_room_gets_all_messages_on_the_connections_it_has(place):
    """Whoever waits for a greeting is served by a connection that has become free."""
    server, reports = deliver(place, Server, 30)
    assert reports == [SERVED] * 30
    assert len(server.wires) == 1 and len(set(recipients(server.wires[0]))) == 30
    assert len(server.texts) == 30


def test_every_message_has_a_transaction_of_its_own(place):
    server, _ = deliver(place, Server, 5)
    wire = bytes(server.wires[0])
    assert [wire.count(word) for word in (b"LO me.example", b"MAIL FROM:<s@a>", b"RCPT", b"DATA\r\n")] == [1, 5, 5, 5]


def test_no_more_messages_than_allowed_on_a_connection(place):
    (place / "control/remotemessages").write_bytes(b"4\n")
    server, reports = deliver(place, Server, 12)
    assert reports == [SERVED] * 12
    assert max(len(recipients(wire)) for wire in server.wires) == 4


def test_one_message_each_is_what_qmail_remote_does(place):
    (place / "control/remotemessages").write_bytes(b"1\n")
    server, reports = deliver(place, Server, 4)
    assert reports == [SERVED] * 4
    assert sorted(map(bytes, server.wires)) == [
        b"HELO me.example\r\nMAIL FROM:<s@a>\r\nRCPT TO:<%d@far.test>\r\nDATA\r\nSubject: t\r\n\r\n..hello\r\n.\r\n"
        b"QUIT\r\n" % number for number in range(4)]


@pytest.mark.parametrize("offer", [b"250 far\r\n", b"250-far\r\n250 PIPELINING\r\n", b"502 what\r\n"])
@pytest.mark.parametrize("step", [MAIL, RCPT, DATA])
def test_a_kept_connection_that_dies_before_the_text_is_nobodys_report(place, step, offer):
    server, reports = deliver(place, lambda: Server(die=(2, step), offer=offer), 3)
    assert reports == [SERVED] * 3
    assert len(server.texts) == 3
    assert any(wire.startswith(b"HELO") for wire in server.wires[1:]), "the second attempt is a plain one"


@pytest.mark.parametrize("refuse", [b"421 enough\r\n", b"452 enough\r\n", b"550 enough\r\n"])
def test_a_server_that_has_had_enough_messages_gets_the_next_on_a_fresh_connection(place, refuse):
    server, reports = deliver(place, lambda: Server(die=(2, MAIL), refuse=refuse), 3)
    assert reports == [SERVED] * 3
    assert len(server.texts) == 3


def test_a_kept_connection_that_dies_after_the_text_is_a_possible_duplicate(place):
    """It is not tried again at once: the server may have the message."""
    server, reports = deliver(place, lambda: Server(die=(2, TEXT)), 3)
    assert sorted(reports) == [SERVED, SERVED, DUPLICATE]
    assert len(server.texts) == 3


def test_a_server_that_dies_of_ehlo_is_served_with_helo(place):
    server, reports = deliver(place, lambda: Server(room=3, die=(0, HELLO)), 3)
    assert reports == [SERVED] * 3


def test_a_delivery_alone_leaves_with_quit(place):
    server, reports = deliver(place, Server, 1)
    assert reports == [SERVED]
    assert bytes(server.wires[0]).startswith(b"HELO") and bytes(server.wires[0]).endswith(b"\r\n.\r\nQUIT\r\n")


def test_a_big_message_on_a_kept_connection(place):
    text = b"x" * 99 + b"\n"
    (place / "message").write_bytes(text * 20_000)
    server, reports = deliver(place, Limitless, 3)
    assert reports == [SERVED] * 3
    assert server.texts == [text[:-1] + b"\r\n"] * 3 and server.lengths == [20_000 * 101 + 3] * 3


class Limitless(Server):
    """Keeps the first line and the length of a text only: asyncio's readuntil() has a limit."""

    async def _serve(self, line, reader, writer):
        self.wires.append(bytearray())
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
