"""dnsmxip: show where mail for a host goes.

    dnsmxip HOST

Prints an IP address and a preference a line, best first: the addresses of HOST's mail exchangers, or if it has
none HOST's own, with preference 0. Exit codes: 0; 100 "hard error", no such host, or one that takes no mail
(RFC 7505); 111 "soft error", cannot be known now.

**Security**: runs as its caller. Source: dnsmxip of qmail 1.03's distribution.
"""
from ..base import dns, errors
from .dnsip import addresses, show


def main(argv):
    if not argv:
        return errors.PERMANENT
    return show(lambda: [b"%b %d" % entry for entry in exchangers(dns.Resolver(), argv[0])])


def exchangers(resolver, name):
    """[(address, preference)]. Raises NotFound, Temporary."""
    try:
        records = resolver.lookup(name, "MX")
    except dns.NotFound:
        records = []
    found, missing = [], None
    for preference, host in records or [(0, name)]:
        try:
            if not host:
                raise dns.NotFound("it takes no mail")
            found += ((address, preference) for address in addresses(resolver, host))
        except dns.NotFound as why:
            missing = why
    if not found and missing:
        raise missing
    return found
