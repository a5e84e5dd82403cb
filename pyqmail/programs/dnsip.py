"""dnsip: show the IP addresses of a host.

    dnsip HOST

Prints the addresses that the DNS has for HOST, one a line, IPv4 before IPv6; those of an address are itself. Exit
codes: 0; 100 "hard error", there is none, or no argument; 111 "soft error", cannot be known now.

**Security**: runs as its caller. What the DNS says is printed in the form of an address.
Source: dnsip of qmail's distribution.
"""
from ..base import dns, errors, ipme, netio


def main(argv):
    if not argv:
        return errors.PERMANENT
    return show(lambda: addresses(dns.Resolver(), argv[0]))


def show(find):
    """Print the lines that find() gives, or what is wrong, as qmail's DNS test programs do. Returns the exit code."""
    try:
        lines = find()
    except dns.NotFound:
        errors.say("hard error")
        return errors.PERMANENT
    except errors.Temporary:
        errors.say("soft error")
        return errors.TEMPORARY
    netio.write_all(1, b"".join(line + b"\n" for line in lines))
    return 0


def addresses(resolver, name):
    """The addresses of a host. Raises NotFound, Temporary."""
    literal = ipme.parse(name.removeprefix(b"[").removesuffix(b"]") if name.startswith(b"[") else name)
    if literal:
        return [literal]
    found, missing = [], None
    for kind in ("A", "AAAA"):
        try:
            found += resolver.lookup(name, kind)
        except dns.NotFound as why:
            missing = why
    if not found and missing:
        raise missing
    return found
