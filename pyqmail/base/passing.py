"""Handing a connection from one process to another: both ends of a sequenced-packet socket pair.

One packet: bytes, and exactly one descriptor, the connection. There is no answer: who hands a connection over
has nothing more to do with it.
"""
import array
import os
import select
import socket


def pair():
    """(sending end, receiving end); the sending end does not block."""
    sending, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    sending.setblocking(False)
    return sending, receiving


def send(sock, connection, data):
    """Hand over a connection with its bytes. Raises BlockingIOError when it must wait, OSError."""
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))])


def receive(sock, limit):
    """(connection, bytes); None for a packet longer than `limit`, or with anything but one socket: what came with
    it is closed. Raises EOFError when there is no sender any more, BlockingIOError, OSError."""
    data, ancillary, flags, _ = sock.recvmsg(limit, socket.CMSG_SPACE(8 * 4), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
    if not data and not fds and hung_up(sock):
        raise EOFError
    connections = []
    for fd in fds:
        try:
            connections.append(socket.socket(fileno=fd))
        except OSError:             # a file, a pipe: whoever sends such a thing must not use up our descriptors
            os.close(fd)
    whole = len(connections) == len(fds) and not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    if whole and len(connections) == 1:
        return connections[0], data
    for connection in connections:
        connection.close()
    return None


def hung_up(sock):
    """True if the other end is closed: an empty packet looks the same as the end."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))
