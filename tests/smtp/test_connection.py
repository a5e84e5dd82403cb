"""A dialogue over a socket that takes its time."""
import asyncio
import contextlib
import os
import socket

import pytest

from pyqmail.smtp import client
from pyqmail.smtp.connection import Connection

REPLIES = b"220 hi\r\n250 me\r\n250 sender\r\n250 recipient\r\n250 recipient, again\r\n354 go\r\n"
SIZE = 60_000                       # bytes of the message: one block, and more than the sockets hold


def converse(path, afterwards, staying=lambda: False):
    """(the report, what the server heard) of the message at `path`. afterwards(connection, the server's end) is a
    coroutine: what to do when it is decided."""
    async def work():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for sock in (ours, theirs):
            sock.setblocking(False)
        fd, heard = os.open(path, os.O_RDONLY), bytearray()
        peer = client.Peer(b"192.0.2.1", b"here.example")
        session, connection = client.Session(peer, b"s@a", [b"r@b"], staying), Connection(loop, ours, peer)

        async def listen():
            with contextlib.suppress(ConnectionResetError):     # it was closed before it had heard all
                while data := await loop.sock_recv(theirs, 1 << 20):
                    heard.extend(data)
        with ours, theirs:
            theirs.send(REPLIES)
            listening = asyncio.ensure_future(listen())
            await connection.run(session, fd, 600)
            await afterwards(connection, theirs)
            await listening
        os.close(fd)
        return session.report, bytes(heard)
    return asyncio.run(work())


@pytest.fixture
def message(tmp_path):
    path = tmp_path / "message"
    path.write_bytes(b"x" * (SIZE - 1) + b"\n")
    return path


def test_a_reply_too_many_does_not_end_a_message_that_is_still_on_its_way(message):
    """The server answers RCPT twice, so that its next reply but one is taken for that to the message. Until that has
    left us nothing is decided."""
    async def close(connection, _):
        connection.close()
    report, heard = converse(message, close)
    assert report.startswith(b"r\0K") and len(heard) > SIZE and b"x\r\n.\r\n" in heard[-20:]


def test_a_connection_that_stays_after_that_is_listened_to(message):
    async def speak(connection, theirs):
        left = asyncio.get_running_loop().create_future()

        def gone(connection):
            connection.close()
            left.set_result(connection)
        connection.left = gone
        theirs.send(b"421 that was one too many\r\n")
        assert await asyncio.wait_for(left, 60) is connection
    report, _ = converse(message, speak, staying=lambda: True)
    assert report.startswith(b"r\0K")
