"""dnsptr: find the name of an IP address.

    dnsptr ADDRESS

Prints the name that the DNS has for ADDRESS. Exit codes: 0; 100 "hard error", there is none; 111 "soft error",
cannot be known now.

**Security**: runs as its caller. Odd bytes of a name are printed escaped.
Source: dnsptr of qmail's distribution.
"""
from ..base import dns, errors, ipme
from .dnsip import show
from .tcp_env import reverse


def main(argv):
    if not argv:
        return errors.PERMANENT
    return show(lambda: [name_of(dns.Resolver(), argv[0])])


def name_of(resolver, address):
    """The name of an address (bytes). Raises NotFound, Temporary."""
    ip = ipme.parse(address)
    names = resolver.lookup(reverse(ip.decode()), "PTR") if ip else []
    if not names:
        raise dns.NotFound("no name")
    return names[0]
