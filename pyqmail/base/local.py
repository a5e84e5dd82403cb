"""Sequenced-packet sockets that any process of this machine may connect to: who listens, and who calls.

A packet can bring descriptors along, and whoever receives it, or closes the socket with the packet unread, is the one
who drops them. That may take as long as their sender likes (a TCP connection with SO_LINGER). Nobody here wants
descriptors: from Linux 6.16 on they cannot be sent to us; before that, packets that have some are never received, and a
socket with something unread is closed by a thread of its own, or, where nobody counts those threads, cut off: a signal
breaks off what close() waits for.
"""
import os
import socket
import struct

from . import sig

CREDENTIALS = struct.Struct("3i")
SO_PASSRIGHTS = 83                  # Linux's number, but for sparc and parisc; not in Python yet
TICK = 0.001                        # s that a connection which is cut off may take


def listen(place, backlog):
    """A listening socket for everybody, in place under its name before any client can miss it. place: as of
    queue.wire.address, of the name and ".new". Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)    # those who connect have it from here
    except OSError:
        pass
    temporary, directory = place
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    listener.bind(temporary)
    os.chmod(temporary, 0o666)      # who calls is told by the kernel
    listener.listen(backlog)
    os.rename(temporary, temporary.removesuffix(".new"))
    if directory is not None:
        os.close(directory)
    return listener


def accept(listener):
    """The next Peer, not blocking. Raises OSError."""
    return Peer(listener.accept()[0])


class Peer:
    """A connection, and who called, from the kernel: pid, uid, gid."""

    __slots__ = ("_socket", "_careful", "pid", "uid", "gid")

    def __init__(self, sock):
        sock.setblocking(False)
        self._socket, self._careful = sock, may_bring_descriptors(sock)
        self.pid, self.uid, self.gid = CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))

    def fileno(self):
        return self._socket.fileno()

    def send(self, data):
        return self._socket.send(data)

    def recv_into(self, buffer, size=0, flags=0):
        """The next packet, as that of a socket. Raises PermissionError if there are descriptors in it."""
        if self._careful and self._socket.recvmsg(0, 0, socket.MSG_PEEK)[2] & socket.MSG_CTRUNC:
            raise PermissionError("descriptors")
        return self._socket.recv_into(buffer, size, flags)

    def cut(self):
        """Close in TICK, here and now: for whoever has nothing that bounds the number of threads. Of the main thread only.
        The process's timer and SIGALRM are ours from then on."""
        if not (self._careful and self._unread()):
            return self._socket.close()
        sig.catch(sig.ALRM, lambda: None)
        sig.ticks(TICK)             # again and again: the first may come before close() waits
        try:
            self._socket.close()
        finally:
            sig.ticks(0)

    def close(self, then=None):
        """In a thread of its own if that may take long. then(uid) is called when it is done."""
        if self._careful and self._unread():
            aside(lambda: self._close(then))
        else:
            self._close(then)

    def _close(self, then):
        self._socket.close()
        if then is not None:
            then(self.uid)

    def _unread(self):
        """True if there is a packet that nobody will receive. From here on no other one comes."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
            return self._socket.recvmsg(0, 0, socket.MSG_PEEK)[2] != 0
        except OSError:
            return False


def may_bring_descriptors(sock):
    try:
        return sock.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) != 0
    except OSError:
        return True


def aside(close):
    """Call close(), however long it takes, in a thread. Where there is none to be had it stays undone."""
    import threading                # only where somebody is up to no good, or at the end
    try:
        threading.Thread(target=close, daemon=True).start()
    except RuntimeError:
        _undone.append(close)


_undone = []
