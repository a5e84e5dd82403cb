"""control/rcpthosts and control/morercpthosts.cdb: the domains that strangers may send mail to.

Entries match a whole domain, or with a leading dot everything below it. Without control/rcpthosts no
domain is taken: qmail would relay for the whole world then. Addresses without "@" are ours.
"""
import os

from . import control, home
from .errors import Temporary, say, text

MORE = "control/morercpthosts.cdb"


class Rcpthosts:
    """caller: the program's name, for its warning. Raises Temporary when a file cannot be read, on loading
    and on look-up."""

    def __init__(self, caller="qmail-smtpd"):
        self._caller = caller
        entries = control.lines("rcpthosts")
        self._missing = entries is None
        self._hosts, self._more = control.fold(entries or ()), None
        try:
            self._has_more = bool(os.stat(home.path(MORE)))
        except FileNotFoundError:
            self._has_more = False
        except OSError as why:
            raise Temporary(f"unable to read {MORE}: {text(why)}") from why

    def allows(self, address):
        """True if mail for this address is taken from everybody."""
        at = address.rfind(b"@")
        if at < 0:
            return True
        names = list(suffixes(address[at + 1:].lower()))
        if any(name in self._hosts for name in names) or self._has_more and self._listed(names):
            return True
        if self._missing:
            self._missing = False   # once is enough
            say(self._caller, ": warning: no control/rcpthosts: mail for all domains is refused")
        return False

    def _listed(self, names):
        if self._more is None:
            from . import cdb  # costs as much as all the rest; most mail is for a host in rcpthosts
            try:
                self._more = cdb.read(home.path(MORE))
            except OSError as why:
                raise Temporary(f"unable to read {MORE}: {text(why)}") from why
        return any(self._more.get(name) is not None for name in names)


def suffixes(host):
    """b"a.b.c" gives b"a.b.c", b".b.c", b".c"; nothing for an empty host."""
    if host:
        yield host
    cut = host.find(b".", 1)
    while cut >= 0:
        yield host[cut:]
        cut = host.find(b".", cut + 1)
