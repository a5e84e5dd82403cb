"""Whom a listening program admits: tcpserver's rules, limits, variables and log lines.

One Gate a worker. All workers share one Table of the connections that are open now, so that limits
hold over all of them. With `verbose` every connection is logged as tcpserver -v does it:

    NAME: status: 3/100
    NAME: pid 712.4 from 192.0.2.7
    NAME: ok 712.4 mx.example:192.0.2.1:25 :192.0.2.7::40000          (or "deny")
    NAME: end 712.4 status 0

where 712.4 is the fourth connection of process 712. What goes wrong is logged in any case.
"""
import fcntl
import mmap
import os
import socket
import struct

from . import errors, home, tcprules

LOOPBACK = ("127.", "::1")          # never counted for the limit per address: they are ourselves
IPV6_CUSTOMER = 8                   # bytes of an IPv6 address that stand for one customer: a /64
MAPPED = 0xFFFF << 32               # IPv4 among the numbers of IPv6 networks
NO_LINGER = struct.pack("ii", 1, 0)


class Table:
    """The open connections of all workers: anonymous shared memory, made before they are forked.

    A slot has a key, an owner and a tag: a byte made of the key, 0 while the slot is free. Tags of thousands of slots
    are counted in a microsecond, so that a message does not cost more when many others only hang around; keys are
    counted where the tags say that the limit may be reached.
    """

    def __init__(self, slots):
        self.slots = slots
        cells = memoryview(mmap.mmap(-1, 17 * slots))
        numbers = cells[:16 * slots].cast("Q")
        self._keys, self._owners, self._tags = numbers[:slots], numbers[slots:], cells[16 * slots:]
        self._lock = os.memfd_create("connections", os.MFD_CLOEXEC)

    def enter(self, key, limit):
        """A slot for one more connection of `key` (a number, not 0) and how many are open then.
        (None, open) when all slots, or `limit` by this key, are in use; limit 0 is none."""
        tag = 1 + key % 255
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            tags = self._tags.tobytes()
            busy = self.slots - tags.count(0)
            if busy == self.slots or 0 < limit <= tags.count(tag) and self._keys.tolist().count(key) >= limit:
                return None, busy
            slot = tags.index(0)
            self._keys[slot], self._owners[slot] = key, os.getpid()
            self._tags[slot] = tag  # last: from now on it counts
            return slot, busy + 1
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def leave(self, slot):
        """The connection is over; returns how many are still open."""
        self._keys[slot] = 0
        self._tags[slot] = 0        # one store: needs no lock
        return self.slots - self._tags.tobytes().count(0)

    def forget(self, pid):
        """A worker is dead: its connections are gone."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            for slot in range(self.slots):
                if self._tags[slot] and self._owners[slot] == pid:
                    self.leave(slot)
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


class Visit:
    """An admitted connection: `environ` for whatever serves it (bytes), `ip` of the client (str)."""

    def __init__(self, slot, serial, ip, environ):
        self.slot, self.serial, self.ip, self.environ = slot, serial, ip, environ


class Gate:
    """rules: name of a file made by tcprules below QMAILHOME; without it, and where no rule in it fits, everybody may
    come in if `strangers`, else nobody.
    per_ip: connections at once from one address (IPv6: from one /64), 0 for no limit.
    local_host: the value of TCPLOCALHOST, None for leaving it out."""

    def __init__(self, name, table, *, rules, per_ip, local_host, verbose=False, strangers=True):
        self.name, self.table, self.per_ip, self.verbose = name, table, per_ip, verbose
        self.rules = tcprules.Rules(home.path(rules), strangers)
        self._serial = 0
        self._base = {variable: value for variable, value in os.environb.items() if not variable.startswith(b"TCP")}
        self._base[b"PROTO"] = b"TCP"
        if local_host:
            self._base[b"TCPLOCALHOST"] = local_host

    def reload(self):
        """Look at the rules anew even if the file looks unchanged."""
        self.rules.forget()

    def enter(self, sock):
        """A Visit for an accepted connection; None when it may not come in: then it has been closed."""
        try:
            peer, local = sock.getpeername(), sock.getsockname()
        except OSError:
            sock.close()            # gone before we could look
            return None
        ip, local_ip = plain(peer[0]), plain(local[0])
        self._serial += 1
        serial = f"{os.getpid()}.{self._serial}"
        slot, busy = self.table.enter(customer(ip), 0 if ip.startswith(LOOPBACK) else self.per_ip)
        if self.verbose:
            self._say(f"status: {busy}/{self.table.slots}")
            self._say(f"pid {serial} from {ip}")
        if slot is None:
            return self._refuse(sock, f"warning: {ip} has too many connections at once", reset=True)
        try:
            allowed, variables = self.rules.find(os.fsencode(ip))
        except errors.Temporary as why:
            self.table.leave(slot)
            return self._refuse(sock, f"warning: dropping connection from {ip}: {why}", reset=True)
        if self.verbose:
            words = (self._base.get(b"TCPLOCALHOST", b"").decode("latin-1"), local_ip, str(local[1]))
            self._say(f"{'ok' if allowed else 'deny'} {serial} {':'.join(words)} :{ip}::{peer[1]}")
        if not allowed:
            self.table.leave(slot)
            return self._refuse(sock)
        environ = {**self._base, b"TCPLOCALIP": local_ip.encode(), b"TCPLOCALPORT": b"%d" % local[1],
                   b"TCPREMOTEIP": ip.encode(), b"TCPREMOTEPORT": b"%d" % peer[1], **variables}
        return Visit(slot, serial, ip, environ)

    def leave(self, visit, status=0):
        """The connection is over. status: an exit code, negative for a signal; logged as a wait status."""
        busy = self.table.leave(visit.slot)
        if self.verbose:
            self._say(f"end {visit.serial} status {status << 8 if status >= 0 else -status}")
            self._say(f"status: {busy}/{self.table.slots}")

    def _refuse(self, sock, why=None, reset=False):
        if why:
            self._say(why)
        if reset:                   # a shortage: leave no TIME_WAIT behind
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        sock.close()

    def _say(self, text):
        errors.say(self.name, ": ", text)


def customer(ip):
    """The number, not 0, under which connections are counted: an IPv4 address, or an IPv6 /64."""
    if ":" in ip:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, ip)[:IPV6_CUSTOMER]) or 1
    return MAPPED | int.from_bytes(socket.inet_aton(ip))


def plain(ip):
    """An address as tcpserver shows it: IPv4 in its own form, also where it came through an IPv6 socket."""
    ip = ip.partition("%")[0]
    return ip.removeprefix("::ffff:") if "." in ip else ip
