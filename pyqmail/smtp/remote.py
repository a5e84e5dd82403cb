"""What one remote delivery needs apart from its input and output: the settings, and the limits.

Shared by bin/qmail-remote, which waits, and qmail-rspawn, which never does.
"""
import _socket
from collections import namedtuple

from ..base import control, ipme
from ..base.cached import Cached
from ..base.clock import Clock
from ..base.errors import Temporary, where
from . import reports, route

CONNECT_TIMEOUT, REMOTE_TIMEOUT = 60, 1200      # s; control/timeoutconnect, control/timeoutremote
TIMEOUT_MAX = 1_000_000             # s; beyond it select() and its like refuse the number
PATIENCE = 4                        # times timeoutremote: for one reply, however it trickles in
DNS_MAX = 300                       # s of look-ups in one delivery
DELIVERY_MAX = 86_400               # s; a server that takes a byte now and then does not keep its slot for ever
BLOCK = 1 << 16                     # bytes of message read and sent at a time

MESSAGES, MESSAGES_MAX = 100, 10_000        # of one connection; control/remotemessages
RECIPIENTS, RECIPIENTS_MAX = 1, 1000        # of one message at one host; control/remoterecipients
OURS_AGE = 1                        # s; as old may the list of our own addresses be

Settings = namedtuple("Settings", "helo connect_timeout timeout relay ours")


def settings(host):
    """What the control files say about a delivery to `host`, read anew each time. Raises route.Unreachable if they
    cannot be read."""
    try:
        return Settings(*_own(), route.relay_for(host, route.smtproutes()), ipme.addresses())
    except Temporary as why:
        raise route.Unreachable(reports.NO_CONTROLS) from why


def _own():
    """(helo, connect_timeout, timeout). Raises Temporary."""
    helo = control.line("helohost", control.line("me"))
    if helo is None:
        raise Temporary("neither control/helohost nor control/me")
    return (helo.replace(b"\r", b""), seconds("timeoutconnect", CONNECT_TIMEOUT),
            seconds("timeoutremote", REMOTE_TIMEOUT))


class Current:
    """The same for a process that lives long: files are read when they have changed."""

    def __init__(self):
        self._own = Cached(["helohost", "me", "timeoutconnect", "timeoutremote"], _own)
        self._messages = Cached(["remotemessages"], lambda: bounded("remotemessages", MESSAGES, MESSAGES_MAX))
        self._recipients = Cached(["remoterecipients"], lambda: bounded("remoterecipients", RECIPIENTS, RECIPIENTS_MAX))
        self._ours, self._ours_end = None, 0

    def settings(self, host):
        """As settings(). A relay is gone to whoever we are: `ours` is None then. Raises route.Unreachable, OSError."""
        try:
            relay = route.relay_for(host, route.smtproutes())
            return Settings(*self._own.current(), relay, None if relay else self._addresses())
        except Temporary as why:
            raise route.Unreachable(reports.NO_CONTROLS) from why

    @property
    def messages(self):
        """How many messages a connection may carry. Raises Temporary."""
        return self._messages.current()

    @property
    def recipients(self):
        """How many recipients may share a dialogue. Raises Temporary."""
        return self._recipients.current()

    def _addresses(self):
        now = Clock.monotonic()
        if now >= self._ours_end:
            self._ours, self._ours_end = ipme.addresses(), now + OURS_AGE
        return self._ours


def seconds(name, default):
    return bounded(name, default, TIMEOUT_MAX)


def bounded(name, default, most):
    """The number in control/NAME, from 1 to `most`."""
    return min(max(control.number(name, default), 1), most)


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
