"""The socket of the queue service: both ends.

A sequenced-packet Unix socket, QMAILHOME/run/qmail-queue/socket. One connection a submission.
Request: one packet b"QQ1" with exactly two descriptors, message and envelope, as qmail-queue has
them on 0 and 1; b"QQ1C" asks that the caller's pid be the number of the submission (the
program bin/qmail-queue, whose parent knows it by that pid). A small message comes whole, without descriptors:
b"QQ2", four bytes that say how long the envelope is (big-endian), the envelope, the message. Answer: one packet
b"CODE QP", qmail-queue's exit code and the number of the submission in decimal.
"""
import os
import sys

import _socket                      # the `socket` module costs 6 ms at start; sendmail is started per message

from ..base import home

REQUEST, REQUEST_AS_PID, WHOLE = b"QQ1", b"QQ1C", b"QQ2"
HEAD = len(WHOLE) + 4               # bytes before the envelope of a whole message
WHOLE_MAX = 1 << 16                 # bytes of a packet
DIRECTORY = "run/qmail-queue"
DESCRIPTOR = 4                      # bytes of a C int in SCM_RIGHTS; `array` would cost 2 ms at start
RIGHTS = _socket.CMSG_SPACE(8 * DESCRIPTOR)
LOST = 81                           # the service went away before it answered: nothing is known


def address(name="socket", directory=DIRECTORY):
    """(the address of a socket in run/, a descriptor to close afterwards or None): through /proc when the home's path
    is too long for a socket address."""
    path = home.path(directory, name)
    if len(os.fsencode(path)) < 104:
        return path, None
    fd = os.open(home.path(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{name}", fd


def connect(directory=DIRECTORY):
    """A connected socket, None if the service is not there (never started, or being restarted)."""
    try:
        where, fd = address(directory=directory)
    except OSError:
        return None
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(where)
        return sock
    except OSError:
        sock.close()
        return None
    finally:
        if fd is not None:
            os.close(fd)


def send_request(sock, message, envelope, as_pid=False):
    """Hand over the two descriptors. Raises OSError (EBADF for one that is not open)."""
    rights = b"".join(fd.to_bytes(DESCRIPTOR, sys.byteorder, signed=True) for fd in (message, envelope))
    try:
        sock.sendmsg([REQUEST_AS_PID if as_pid else REQUEST], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    except (BrokenPipeError, ConnectionResetError):
        pass                        # refused already: the answer says why


def whole(text, envelope):
    """The packet of a message in memory; None if it is too large for one."""
    packet = b"".join((WHOLE, len(envelope).to_bytes(4, "big"), envelope, text))
    return packet if len(packet) <= WHOLE_MAX else None


def receive_request(sock):
    """What a client wants: (message, envelope, as_pid) with two descriptors, or (text, envelope) in bytes. None for
    anything that is not a request, its descriptors closed. Raises OSError."""
    data, ancillary, flags, _ = sock.recvmsg(WHOLE_MAX, RIGHTS)
    if not ancillary and not flags and data.startswith(WHOLE):
        end = HEAD + int.from_bytes(data[len(WHOLE):HEAD], "big")
        return (data[end:], data[HEAD:end]) if HEAD <= end <= len(data) else None
    fds = []
    for level, kind, content in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            fds += memoryview(content[:len(content) - len(content) % DESCRIPTOR]).cast("i")
    for fd in fds:
        os.set_inheritable(fd, False)
    if data in (REQUEST, REQUEST_AS_PID) and len(fds) == 2 and not flags & _socket.MSG_CTRUNC:
        return fds[0], fds[1], data == REQUEST_AS_PID
    for fd in fds:
        os.close(fd)
    return None


def send_answer(sock, code, qp):
    sock.send(b"%d %d" % (code, qp))


def receive_answer(sock):
    """(exit code, qp); (81, 0) when the service ended without an answer."""
    for _ in range(2):
        try:
            code, _, qp = sock.recv(64).partition(b" ")
            return int(code), int(qp)
        except ConnectionResetError:
            continue                # closed with our request unread; an answer would be behind this error
        except (OSError, ValueError):
            break
    return LOST, 0
