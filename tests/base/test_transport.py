"""The transport keeps asyncio's promises to a protocol."""
import asyncio
import socket

import pytest

from pyqmail.base.transport import HIGH, Transport


class Protocol:
    def __init__(self):
        self.calls, self.received, self.keep, self.over = [], b"", False, asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data):
        self.received += data
        if b"fail" in data:
            raise ValueError("a bug")

    def eof_received(self):
        self.calls.append("eof")
        return self.keep

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, why):
        self.calls.append("lost")
        self.over.set_result(why)


def scenario(test):
    """Runs test(protocol, transport, peer); the peer is a blocking socket."""
    async def run():
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        peer.settimeout(30)
        protocol = Protocol()
        transport = Transport(asyncio.get_running_loop(), ours, protocol)
        try:
            await asyncio.wait_for(test(protocol, transport, peer), 60)
        finally:
            peer.close()
            transport.abort()
            await protocol.over
        assert ours.fileno() == -1 and protocol.calls.count("lost") == 1
    asyncio.run(run())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def test_both_ways_and_the_end():
    async def test(protocol, transport, peer):
        peer.sendall(b"hello")
        await until(lambda: protocol.received == b"hello")
        transport.write(b"world")
        assert peer.recv(100) == b"world"
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.over is None
        assert protocol.calls == ["made", "eof", "lost"] and peer.recv(1) == b""
    scenario(test)


def test_end_of_file_may_leave_the_other_way_open():
    async def test(protocol, transport, peer):
        protocol.keep = True
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: "eof" in protocol.calls)
        transport.pause_reading()
        transport.resume_reading()
        transport.write(b"still here")
        assert peer.recv(100) == b"still here" and not transport.is_closing()
        await asyncio.sleep(0)
        assert protocol.calls.count("eof") == 1
    scenario(test)


def test_a_slow_reader_and_close():
    async def test(protocol, transport, peer):
        data = b"x" * 5_000_000
        transport.write(data)
        assert protocol.calls == ["made", "pause"]
        transport.close()
        transport.write(b"y")                   # as asyncio: goes out with the rest
        got = await asyncio.to_thread(read_all, peer)
        assert got.rstrip(b"y") == data
        assert await protocol.over is None and protocol.calls == ["made", "pause", "resume", "lost"]
    scenario(test)


def read_all(peer):
    got = bytearray()
    while piece := peer.recv(1 << 16):
        got += piece
    return bytes(got)


def test_nothing_is_read_while_paused_or_after_close():
    async def test(protocol, transport, peer):
        transport.pause_reading()
        peer.sendall(b"one")
        await asyncio.sleep(0.01)
        assert protocol.received == b""
        transport.resume_reading()
        await until(lambda: protocol.received == b"one")
        transport.close()
        await protocol.over
        assert protocol.received == b"one"
    scenario(test)


@pytest.mark.parametrize("size", [1, HIGH * 100])
def test_a_peer_that_goes_away(size):
    async def test(protocol, transport, peer):
        transport.write(b"x" * size)
        peer.close()
        await until(lambda: transport.is_closing() or transport.write(b"more"))
        await protocol.over
    scenario(test)


def test_a_bug_costs_this_connection_only(capfd):
    async def test(protocol, transport, peer):
        peer.sendall(b"fail")
        assert isinstance(await protocol.over, ValueError)
    scenario(test)
    assert "a bug" in capfd.readouterr().err


def test_abort_is_the_end_at_once():
    async def test(protocol, transport, peer):
        transport.write(b"x" * 5_000_000)
        transport.abort()
        assert "lost" not in protocol.calls     # never from within a call of ours
        transport.write(b"nothing")
        await protocol.over
    scenario(test)
