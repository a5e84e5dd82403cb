"""Completing addresses: default host, default domain, plus domain, no source routes.

    fred            -> fred@defaulthost
    fred@host       -> fred@host.defaultdomain
    fred@host+      -> fred@host.plusdomain
    @a,@b:fred@c.d  -> fred@c.d

The rules are applied in the order of Completer.complete. An address is a list of tokens.
Source: qmail-header(5), qmail-inject(8).
"""
from ..base import address
from . import tokens
from .tokens import ATOM, LITERAL

EMPTY_LITERAL = (LITERAL, b"")


class Completer:
    """Completes addresses with three names, given as bytes. Raises Unparsable, saying so, if one of them
    is no list of tokens."""

    def __init__(self, default_host, default_domain, plus_domain):
        self._default_domain = tokens.read_strictly(b"." + default_domain)
        self._default_host = tokens.read_strictly(b"@" + default_host)
        self._plus_domain = tokens.read_strictly(b"." + plus_domain)

    def complete(self, addr):
        """The complete address for the one with these tokens; [] for the empty address and for one of
        which nothing but a route or a dot was there. box@[] stays as it is."""
        if not addr or addr[-2:] == [tokens.SPECIAL[ord("@")], EMPTY_LITERAL]:
            return addr
        addr = without_route(addr)
        for extra in (".", "@"):
            if addr and addr[-1][0] == extra:
                addr = addr[:-1]
        if not addr:
            return addr
        if not any(kind == "@" for kind, _ in addr):
            addr = addr + self._default_host
        return self._with_domain(addr)

    def _with_domain(self, addr):
        kind, text = addr[-1]
        if kind == ATOM and text[-1:] == b"+":
            addr = [*addr[:-1], (ATOM, text[:-1]), *self._plus_domain]
        for kind, _ in reversed(addr):
            if kind in (".", LITERAL):
                return addr
            if kind == "@":
                break
        return addr + self._default_domain

    def complete_argument(self, text):
        """The complete envelope address for one given by hand, say on the command line: everything
        before its last "@" is the box, whatever is in it. Raises Unparsable (refuse's argument: the
        address as it was tried)."""
        return tokens.plain(self.complete(tokens.read_strictly(address.quote(text))))


def without_route(addr):
    """The address behind a source route; [] if there is nothing behind it."""
    if addr[0][0] != "@":
        return addr
    for at, (kind, _) in enumerate(addr):
        if kind == ":":
            return addr[at + 1:]
    return []
