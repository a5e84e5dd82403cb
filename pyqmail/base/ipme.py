"""Which IP addresses are this machine: mail for them must never be sent out again.

Addresses are bytes in their shortest text form, b"192.0.2.1" or b"2001:db8::1"; an IPv4 address that
comes wrapped in IPv6 (::ffff:192.0.2.1) is the IPv4 address. Ours are the addresses of all
interfaces that are up, the unspecified ones (RFC 1122 3.2.1.3: 0.0.0.0 is "this host"), loopback,
and what control/moreipme lists, one a line: addresses that a router in front of us translates.
Source: qmail's ipme, netqmail's moreipme; `socket` would cost more to import than all this takes.
"""
import _socket

from . import control

ALWAYS = frozenset((b"0.0.0.0", b"127.0.0.1", b"::", b"::1"))
SIOCGIFCONF, SIOCGIFFLAGS, IFF_UP = 0x8912, 0x8913, 1
TABLE_MAX = 1 << 20                 # bytes; 26,000 interface addresses
MAPPED = b"\0" * 10 + b"\xff\xff"


def parse(text):
    """The canonical form of an IPv4 or IPv6 address; None if `text` is neither."""
    return parse4(text) or parse6(text)


def parse4(text):
    """Four decimal numbers up to 255; leading zeros do not make them octal."""
    parts = text.split(b".")
    if len(parts) != 4 or not all(part.isdigit() and len(part) <= 3 and int(part) <= 255 for part in parts):
        return None
    return b".".join(b"%d" % int(part) for part in parts)


def parse6(text):
    """RFC 4291 2.2, without a zone."""
    try:
        packed = _socket.inet_pton(_socket.AF_INET6, text.decode("ascii"))
    except (OSError, ValueError):
        return None
    return from_packed(packed)


def from_packed(packed):
    """The canonical form of 4 or 16 bytes in network order."""
    if packed.startswith(MAPPED) and len(packed) == 16:
        packed = packed[12:]
    family = _socket.AF_INET if len(packed) == 4 else _socket.AF_INET6
    return _socket.inet_ntop(family, packed).encode()


def addresses():
    """The set of our own addresses. Raises OSError, or Temporary for an unreadable control/moreipme."""
    listed = (parse(line) for line in control.lines("moreipme") or ())
    return ALWAYS.union(_interfaces4(), _interfaces6(), filter(None, listed))


def _interfaces4():
    import array                    # these three only where mail leaves: 0.4 ms
    import fcntl
    import struct
    entry = 16 + 3 * struct.calcsize("P")           # struct ifreq: a name and the largest of its union
    found = set()
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        size = 64 * entry
        while True:
            table = array.array("B", bytes(size))
            answer = fcntl.ioctl(sock.fileno(), SIOCGIFCONF, struct.pack("iP", size, table.buffer_info()[0]))
            used = struct.unpack("iP", answer)[0]
            if used + entry <= size or size > TABLE_MAX:
                break
            size *= 4               # the kernel fills what there is and does not say what is missing
        for at in range(0, used, entry):
            request = table[at:at + entry].tobytes()
            family, = struct.unpack_from("H", request, 16)
            flags = fcntl.ioctl(sock.fileno(), SIOCGIFFLAGS, request)
            if family == _socket.AF_INET and struct.unpack_from("H", flags, 16)[0] & IFF_UP:
                found.add(from_packed(request[20:24]))
    finally:
        sock.close()
    return found


_table6 = []                        # open once it has been read: a confined process cannot open it again


def _interfaces6():
    try:
        if not _table6:
            _table6.append(open("/proc/net/if_inet6", "rb", buffering=0))
    except (FileNotFoundError, PermissionError):
        return set()                # a kernel without IPv6, or without it when this process was confined
    _table6[0].seek(0)
    lines = _table6[0].readall().splitlines()
    return {from_packed(bytes.fromhex(line[:32].decode("ascii"))) for line in lines if len(line) > 32}
