"""What one remote delivery needs apart from its input and output: the settings, and the limits.

Shared by bin/qmail-remote, which waits, and qmail-rspawn, which never does.
"""
import _socket
from collections import namedtuple

from ..base import control, ipme
from ..base.errors import Temporary, where
from . import reports, route

CONNECT_TIMEOUT, REMOTE_TIMEOUT = 60, 1200      # s; control/timeoutconnect, control/timeoutremote
TIMEOUT_MAX = 1_000_000             # s; beyond it select() and its like refuse the number
PATIENCE = 4                        # times timeoutremote: for one reply, however it trickles in
DNS_MAX = 300                       # s of look-ups in one delivery
DELIVERY_MAX = 86_400               # s; a server that takes a byte now and then does not keep its slot for ever
BLOCK = 1 << 16                     # bytes of message read and sent at a time

Settings = namedtuple("Settings", "helo connect_timeout timeout relay ours")


def settings(host):
    """What the control files say about a delivery to `host`, read anew each time. Raises route.Unreachable if they
    cannot be read."""
    try:
        helo = control.line("helohost", control.line("me"))
        if helo is None:
            raise Temporary("neither control/helohost nor control/me")
        return Settings(helo.replace(b"\r", b""), seconds("timeoutconnect", CONNECT_TIMEOUT),
                        seconds("timeoutremote", REMOTE_TIMEOUT), route.relay_for(host, route.smtproutes()),
                        ipme.addresses())
    except Temporary as why:
        raise route.Unreachable(reports.NO_CONTROLS) from why


def seconds(name, default):
    return min(max(control.number(name, default), 1), TIMEOUT_MAX)


def family(address):
    return _socket.AF_INET6 if b":" in address else _socket.AF_INET


def trouble(why):
    """The report on an exception that nobody expected: local faults are always temporary."""
    if isinstance(why, MemoryError):
        return reports.NO_MEMORY
    if isinstance(why, OSError):
        return reports.NO_RESOURCES
    words = f"{type(why).__name__}: {why}"[:200].encode("ascii", "replace").translate(reports.VISIBLE)
    return b"ZInternal error in qmail-remote: %b%b. (#4.3.0)\n" % (words, where(why).encode("ascii", "replace"))
