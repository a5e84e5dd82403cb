"""Deliveries as coroutines, to a server in the same event loop."""
import asyncio
import os

import pytest

from pyqmail.smtp import remote, reports, route
from pyqmail.smtp.carrier import Carrier

SERVED = [b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 done\r\n"]


class Server:
    """Answers each line with the next reply, the message with the one after DATA's; keeps what it heard."""

    def __init__(self, replies=SERVED, together=1):
        self.replies, self.heard, self.together, self.all_here = replies, [], together, asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4000)
        return self

    async def __aexit__(self, *_):
        self._server.close()

    @property
    def port(self):
        return self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        wire = bytearray()
        self.heard.append(wire)
        if len(self.heard) >= self.together:
            self.all_here.set()
        await self.all_here.wait()              # nobody is served before all are here
        for number, reply in enumerate(self.replies):
            if number:
                wire += await reader.readuntil(b"\r\n.\r\n" if number == 5 else b"\r\n")
            writer.write(reply)
        wire += await reader.read()
        writer.close()


def deliver(place, server, count=1, recipient=b"r@far.test"):
    """The reports of `count` deliveries at once."""
    async def everything():
        async with server as peer:
            (place / "control/smtproutes").write_bytes(b":127.0.0.1:%d\n" % peer.port)
            carrier, message = Carrier(), os.open(place / "message", os.O_RDONLY)
            try:
                found = await asyncio.gather(*(
                    carrier.deliver(message, b"far.test", b"s@a", [recipient]) for _ in range(count)))
                return [text for texts in found for text in texts]
            finally:
                carrier.close()
                os.close(message)
    return asyncio.run(everything())


DELIVERED = b"K127.0.0.1 accepted message.\nRemote host said: 250 done\n"


def test_one_delivery(place):
    server = Server()
    assert deliver(place, server) == [DELIVERED]
    assert server.heard == [b"HELO me.example\r\nMAIL FROM:<s@a>\r\nRCPT TO:<r@far.test>\r\nDATA\r\n"
                            b"Subject: t\r\n\r\n..hello\r\n.\r\nQUIT\r\n"]


def test_three_hundred_slow_deliveries_at_once(place):
    """The server speaks only when all are connected: no delivery waits for another."""
    assert deliver(place, Server(together=300), 300) == [DELIVERED] * 300


def test_a_big_message_is_sent_in_blocks(place):
    line = b"x" * 99 + b"\n"
    (place / "message").write_bytes(line * 30_000)
    server = Server(SERVED)
    server.replies = SERVED[:5] + [b"250 done\r\n"]

    async def swallow(reader, writer):
        for reply in server.replies[:5]:
            writer.write(reply)
        tail, length = b"", 0
        while not tail.endswith(b"\r\n.\r\n"):
            data = await reader.read(1 << 16)
            length, tail = length + len(data), (tail + data)[-5:]
        server.heard.append(length)
        writer.write(server.replies[5])
        await reader.read()
        writer.close()

    server._serve = swallow
    assert deliver(place, server) == [DELIVERED]
    assert server.heard[0] > 30_000 * 101


@pytest.mark.parametrize("replies, report", [
    ([b"421 busy\r\n"], b"ZConnected to 127.0.0.1 but greeting failed.\nRemote host said: 421 busy\n"),
    (SERVED[:3] + [b"550 no\r\n"],
     b"D127.0.0.1 does not like recipient.\nRemote host said: 550 no\nGiving up on 127.0.0.1.\n"),
])
def test_refusals(place, replies, report):
    assert deliver(place, Server(replies)) == [report]


def test_a_silent_server_times_out(place, monkeypatch):
    monkeypatch.setattr(remote, "seconds", lambda name, default: 0.05 if name == "timeoutremote" else default)
    assert deliver(place, Server(together=2)) == [b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n"]


def test_nobody_listens(place):
    (place / "control/smtproutes").write_bytes(b":127.0.0.1:1\n")

    async def once():
        return await Carrier().deliver(0, b"far.test", b"s@a", [b"r@far.test"])
    assert asyncio.run(once()) == [reports.NO_CONNECTION]


def test_missing_control_files_are_temporary(place):
    (place / "control/me").unlink()
    assert deliver(place, Server()) == [reports.NO_CONTROLS]


def test_a_bug_in_one_delivery_is_that_ones_report(place, monkeypatch):
    walk = route.walk

    def sometimes(host, relay, ours):
        if host == b"bad.test":
            raise ValueError("a \n bug")
        return walk(host, relay, ours)

    monkeypatch.setattr(route, "walk", sometimes)

    async def everything():
        async with Server() as peer:
            (place / "control/smtproutes").write_bytes(b":127.0.0.1:%d\n" % peer.port)
            carrier, message = Carrier(), os.open(place / "message", os.O_RDONLY)
            try:
                return await asyncio.gather(carrier.deliver(message, b"bad.test", b"s@a", [b"r@bad.test"]),
                                            carrier.deliver(message, b"far.test", b"s@a", [b"r@far.test"]))
            finally:
                os.close(message)
    [bad], [good] = asyncio.run(everything())
    assert good == DELIVERED
    assert bad.startswith(b"ZInternal error in qmail-remote: ValueError: a ? bug") and bad.count(b"\n") == 1


def test_faults_of_ours_are_temporary():
    assert [remote.trouble(why)[:1] for why in (OSError(24, "x"), MemoryError(), KeyError("k"))] == [b"Z"] * 3
