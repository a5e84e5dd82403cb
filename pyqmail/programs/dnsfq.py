"""dnsfq: find the fully qualified name of a host.

    dnsfq HOST

HOST may be a short name: it is completed with the domains in resolv.conf(5). Prints the name that belongs to
HOST's first IP address. Exit codes: 0; 100 "hard error" or "no IP addresses"; 111 "soft error", cannot be
known now.

**Security**: runs as its caller. Source: dnsfq of qmail's distribution.
"""
from ..base import dns, errors
from .dnsip import addresses, show
from .dnsptr import name_of


def main(argv):
    if not argv:
        return errors.PERMANENT
    try:
        return show(lambda: [fully_qualified(argv[0])])
    except NoAddresses:
        errors.say("no IP addresses")
        return errors.PERMANENT


class NoAddresses(Exception):
    """The name exists, but no address is there."""


def fully_qualified(name):
    """The canonical name of a host. Raises NotFound, Temporary, NoAddresses."""
    resolver = dns.Resolver()
    for candidate in resolver.candidates(name):
        try:
            found = addresses(resolver, candidate)
        except dns.NotFound as why:
            missing = why
            continue
        if not found:
            raise NoAddresses
        return name_of(resolver, found[0])
    raise missing
