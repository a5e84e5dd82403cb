"""An accept worker's side of one client."""
import asyncio
import socket

import pytest

from pyqmail.pop3 import front, handover


def talk(data):
    """What the client gets for `data`, the logins handed over, and what was left on the connection."""
    sending, receiving = handover.pair()
    receiving.setblocking(False)
    ours, theirs = socket.socketpair()
    with sending, receiving, ours:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        with theirs:
            theirs.setblocking(False)
            asyncio.run(front.Front(b"h", sending, 0, False).authorize(theirs))
            try:
                login = handover.receive(receiving)
            except BlockingIOError:
                login = None
            left = theirs.recv(1000)
        got = ours.recv(100_000)
    if login:
        login[0].close()
    return got, login and login[1:], left


def test_a_login_goes_over_with_everything_behind_it():
    got, login, left = talk(b"USER joe\r\nPASS secret\r\nSTAT\r\nQUIT\r\n")
    stamp = got[4:got.index(b"\r")]
    assert got.endswith(b"@h>\r\n+OK \r\n")
    assert login == (b"joe", b"secret", stamp)
    assert left == b"STAT\r\nQUIT\r\n"


@pytest.mark.parametrize("data, replies", [
    (b"QUIT\r\n", b"+OK \r\n"),
    (b"", b""),
    (b"USER joe\r\nPASS", b"+OK \r\n"),
    (b"X" * 20_000 + b"\r\nNOOP\r\n", b"-ERR line too long\r\n+OK \r\n"),
])
def test_no_login(data, replies):
    got, login, _ = talk(data)
    assert got.partition(b"\r\n")[2] == replies and login is None


def test_every_stamp_is_new():
    sending, receiving = handover.pair()
    worker, seen = front.Front(b"h", sending, 0, False), set()
    with sending, receiving:
        for _ in range(3):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                theirs.setblocking(False)
                ours.sendall(b"QUIT\r\n")
                asyncio.run(worker.authorize(theirs))
                seen.add(ours.recv(1000))
    assert len(seen) == 3
