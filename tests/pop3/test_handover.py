"""Logins from the accept workers to the authenticator."""
import array
import os
import socket

import pytest

from pyqmail.pop3 import handover


@pytest.fixture
def ends():
    sending, receiving = handover.pair()
    receiving.setblocking(False)
    yield sending, receiving
    sending.close()
    receiving.close()


@pytest.fixture
def client():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_a_login_with_its_connection(ends, client):
    handover.send(ends[0], client[1], b"joe\0secret\0<1.2@h>\0")
    connection, *fields = handover.receive(ends[1])
    assert fields == [b"joe", b"secret", b"<1.2@h>"]
    with connection:
        connection.send(b"hello")
    assert client[0].recv(10) == b"hello"


@pytest.mark.parametrize("packet", [b"x", b"joe\0secret\0", b"a\0b\0c\0d\0", b"a\0b\0c", b"a\0b\0c\0more", b"x" * 20000])
def test_anything_else_is_no_login(ends, client, packet):
    before = descriptors()
    handover.send(ends[0], client[1], packet)
    assert handover.receive(ends[1]) is None
    assert descriptors() == before


@pytest.mark.parametrize("count", [0, 2])
def test_exactly_one_descriptor(ends, client, count):
    before = descriptors()
    fds = array.array("i", [client[1].fileno()] * count)
    ends[0].sendmsg([b"joe\0secret\0x\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if count else [])
    assert handover.receive(ends[1]) is None
    assert descriptors() == before


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_no_socket_is_closed(ends, client, order):
    """A worker in wrong hands must not use up the descriptors of the one who has the passwords."""
    before = descriptors()
    reader, writer = os.pipe()
    fds = [reader, client[1].fileno()][::order]
    ends[0].sendmsg([b"joe\0secret\0x\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    assert handover.receive(ends[1]) is None
    ends[0].sendmsg([b"joe\0secret\0x\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [reader]))])
    os.close(reader)
    os.close(writer)
    assert handover.receive(ends[1]) is None
    assert descriptors() == before


def test_an_empty_packet_is_not_the_end(ends):
    ends[0].sendmsg([b""])
    assert handover.receive(ends[1]) is None
    ends[0].close()
    with pytest.raises(EOFError):
        handover.receive(ends[1])


def test_a_full_queue_is_told(ends, client):
    with pytest.raises(BlockingIOError):
        for _ in range(10_000):
            handover.send(ends[0], client[1], b"joe\0secret\0x\0")
