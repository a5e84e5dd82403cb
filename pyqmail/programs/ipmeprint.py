"""ipmeprint: print the IP addresses that are this machine, one a line, IPv4 before IPv6.

    ipmeprint

Mail exchangers at these addresses are never connected to: mail for them would come back. control/moreipme adds
to those of the interfaces. Exit codes: 0; 111 they cannot be found out.

**Security**: runs as its caller. Source: ipmeprint of qmail's distribution.
"""
from ..base import ipme, netio


def main(argv):
    netio.write_all(1, b"".join(address + b"\n" for address in sorted(ipme.addresses(), key=order)))


def order(address):
    """IPv4 by number, then IPv6."""
    numbers = [] if b":" in address else list(map(int, address.split(b".")))
    return b":" in address, numbers, address
