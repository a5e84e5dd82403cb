"""etc/ip_alias_map: which domain a user belongs to who names none, by the address he connected to.

    IP DOMAIN           one a line, blanks or tabs between
"""
from . import files, home

MAPPED = b"::ffff:"                     # an IPv4 address on an IPv6 socket
MODE = 0o644


def path():
    return home.path(b"etc", b"ip_alias_map")


def entries():
    """[(ip, domain)] in the order of the file. Raises OSError."""
    words = (line.split() for line in (files.read(path()) or b"").split(b"\n"))
    return [(found[0], found[1].lower()) for found in words if len(found) >= 2]


def domain(ip):
    """The domain of an address, None if it has none."""
    ip = ip.lower().removeprefix(MAPPED)
    return next((domain for known, domain in entries() if known == ip), None)


def add(ip, domain):
    """Add a pair; an equal one goes first."""
    _rewrite(lambda found: [pair for pair in found if pair != (ip, domain)] + [(ip, domain)])


def delete(ip, domain):
    _rewrite(lambda found: [pair for pair in found if pair != (ip, domain)])


def _rewrite(edit):
    with files.Locked(path() + b".lock"):
        files.replace(path(), b"".join(b"%b %b\n" % pair for pair in edit(entries())), MODE)
