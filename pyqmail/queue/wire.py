"""The socket of the queue service: both ends.

A sequenced-packet Unix socket, QMAILHOME/run/qmail-queue/socket. One connection a submission.

A small message comes in one packet: b"QQ2", four bytes that say how long the envelope is (big-endian), the envelope,
the message. Any other comes in pieces: a packet b"QQ3", then packets b"M" and some of the message, then packets b"E" and
some of the envelope, which says itself where it ends. Who ends the connection's sending side before has broken off.
b"QQ4" and b"QQ5" are the same, but the caller's pid shall be the number of the submission: for the program
bin/qmail-queue, whose parent knows it by that pid. Envelopes are as qmail-queue has them on descriptor 1.

Answer: one packet b"CODE QP", qmail-queue's exit code and the number of the submission in decimal. It may come early; what
is sent after that is lost.
"""
import os

import _socket                      # the `socket` module costs 6 ms at start; sendmail is started per message

from ..base import home

WHOLE, PIECES, WHOLE_AS_PID, PIECES_AS_PID = b"QQ2", b"QQ3", b"QQ4", b"QQ5"
TEXT, ENVELOPE = b"M", b"E"
HEAD = len(WHOLE) + 4               # bytes before the envelope of a whole message
PACKET = 1 << 16                    # bytes of a message that comes whole, and of a piece without its letter
ROOM = PACKET + 2                   # for a packet, and to see that one was too long
DIRECTORY = "run/qmail-queue"
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


def whole(text, envelope, as_pid=False):
    """The packet of a message in memory; None if it is too large for one."""
    packet = b"".join((WHOLE_AS_PID if as_pid else WHOLE, len(envelope).to_bytes(4, "big"), envelope, text))
    return packet if len(packet) <= PACKET else None


def begin(sock, as_pid=False):
    """A message in pieces follows."""
    try:
        sock.send(PIECES_AS_PID if as_pid else PIECES)
    except (BrokenPipeError, ConnectionResetError):
        pass                        # refused already: the answer says why


def send_piece(sock, kind, data):
    """Send as much of `data` as goes into a packet: the number of bytes. kind: TEXT or ENVELOPE. Raises OSError."""
    return sock.sendmsg((kind, data[:PACKET])) - 1


def send_all(sock, kind, data):
    """Send all of it. Raises OSError."""
    while data:
        data = data[send_piece(sock, kind, data):]


def request(packet):
    """What a client's first packet says: (as_pid, text, envelope), text and envelope None if they come in pieces; None
    for anything that is not a request."""
    word = bytes(packet[:len(WHOLE)])
    if word in (WHOLE, WHOLE_AS_PID):
        end = HEAD + int.from_bytes(packet[len(WHOLE):HEAD], "big")
        if HEAD <= end <= len(packet) <= PACKET:
            return word == WHOLE_AS_PID, packet[end:], packet[HEAD:end]
    elif word in (PIECES, PIECES_AS_PID) and len(packet) == len(word):
        return word == PIECES_AS_PID, None, None
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
