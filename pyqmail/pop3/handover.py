"""From the process that talked to the client to the one that checks his password: both ends.

A sequenced-packet socket pair. One packet a login: name NUL secret NUL timestamp NUL, as a checker
reads it, with exactly one descriptor, the client's connection. There is no answer: who hands a
connection over has nothing more to do with it.
"""
import array
import os
import select
import socket

from . import wire

LIMIT = 2 * (wire.LIMIT + 1) + 512      # bytes of a packet; the timestamp holds a host name


def pair():
    """(sending end, receiving end); the sending end does not block."""
    sending, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    sending.setblocking(False)
    return sending, receiving


def send(sock, connection, login):
    """Hand over a connection with its encoded login. Raises BlockingIOError when it must wait, OSError."""
    sock.sendmsg([login], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))])


def receive(sock):
    """(connection, name, secret, stamp); None for what is no login, its descriptors closed.

    Raises EOFError when there is no sender any more, BlockingIOError, OSError.
    """
    data, ancillary, flags, _ = sock.recvmsg(LIMIT, socket.CMSG_SPACE(8 * 4), socket.MSG_CMSG_CLOEXEC)
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
    fields = data.split(b"\0")
    whole = len(connections) == len(fds) and not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    if whole and len(connections) == 1 and len(fields) == 4 and not fields[3]:
        return connections[0], *fields[:3]
    for connection in connections:
        connection.close()
    return None


def hung_up(sock):
    """True if the other end is closed: an empty packet looks the same as the end."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))
