"""vpopmaild before the login, in a process of its own: of what strangers write root sees a name and a password.

    client ── lines ── front (qmaild, confined) ── "login NAME PASSWORD" ── root
                                               ── "+", or NUMBER PLACE of a refusal ──

After the login the front hands on what the client has written already, and ends: who is logged in is no stranger.
"""
import os
import socket

from ..base import accounts, child, prot, sandbox, sig
from . import daemon
from .daemon_replies import Reply

ADMITTED, HANDED_ON, ASKED = b"+", b"+", b"?"
PACKET = 4 * daemon.LONGEST         # bytes, at most


class Root(daemon.Session):
    """The root side: as daemon.Session, but for the login."""

    def wait_for_login(self):
        """True after a login, False after quit. Raises Ended."""
        role = accounts.ids("qmaild")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with ours:
            with theirs:
                pid = child.fork(lambda: self._live(ours, theirs, role))
            begun = self._serve(ours)
        if child.wait(pid) or begun != (self.user is not None):
            raise daemon.Ended
        return begun

    def _live(self, ours, theirs, role):
        """The life of the front: its exit code."""
        ours.close()
        prot.become(*role)
        prot.not_dumpable()
        prot.die_with_parent(sig.TERM)
        sandbox.enter(sandbox.Files())
        return Front(self._source, self._sink, theirs).run()

    def _serve(self, sock):
        """Answer the front's questions, to its end. True if it handed on a session."""
        for _ in range(daemon.LINES + 1):
            packet = sock.recv(PACKET)
            if packet.startswith(HANDED_ON):
                self._input = packet[1:]
                return True
            kind, _, rest = packet[1:].partition(b" ")
            if kind not in daemon.LOGINS_BY or self.user:
                break
            refusal = self.try_login(kind, rest)
            sock.send(ADMITTED if refusal is None else b"%d %d" % (refusal.number, refusal.place))
        return False


class Front(daemon.Session):
    """The side that talks to strangers. root: a socket."""

    def __init__(self, source, sink, root):
        super().__init__(source, sink)
        self._root = root

    def try_login(self, kind, rest):
        """As daemon.Session's, which root carries out."""
        self._root.send(b"%b%b %b" % (ASKED, kind, rest))
        answer = self._root.recv(PACKET)
        if not answer:
            raise daemon.Ended
        return None if answer == ADMITTED else Reply(*map(int, answer.split()))

    def serve(self):
        self._root.send(HANDED_ON + self._input)


def serve(source, sink, ip):
    """Serve a client to the end; the exit code. Who is not root has nobody to be protected from."""
    if os.geteuid() != 0:
        return daemon.Session(source, sink, ip).run()
    return Root(source, sink, ip).run()
