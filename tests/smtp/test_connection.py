"""A dialogue over a socket that takes its time."""
import asyncio
import os
import socket

from pyqmail.smtp import client
from pyqmail.smtp.connection import Connection

REPLIES = b"220 hi\r\n250 me\r\n250 sender\r\n250 recipient\r\n250 recipient, again\r\n354 go\r\n"
SIZE = 60_000                       # bytes of the message: one block, and more than the sockets hold


def test_a_reply_too_many_does_not_end_a_message_that_is_still_on_its_way(tmp_path):
    """The server answers RCPT twice, so that its next reply but one is taken for that to the message. Until that has
    left us nothing is decided."""
    path = tmp_path / "message"
    path.write_bytes(b"x" * (SIZE - 1) + b"\n")

    async def converse():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for sock in (ours, theirs):
            sock.setblocking(False)
        fd = os.open(path, os.O_RDONLY)
        peer = client.Peer(b"192.0.2.1", b"here.example")
        session, connection = client.Session(peer, b"s@a", [b"r@b"]), Connection(loop, ours, peer)
        with ours, theirs:
            theirs.send(REPLIES)
            done = connection.run(session, fd, 600)
            done.add_done_callback(lambda _: connection.close())
            heard = bytearray()
            while data := await loop.sock_recv(theirs, 1 << 20):
                heard += data
            await done
        os.close(fd)
        return session.report, bytes(heard)
    report, heard = asyncio.run(converse())
    assert report.startswith(b"r\0K") and len(heard) > SIZE and b"x\r\n.\r\n" in heard[-20:]
