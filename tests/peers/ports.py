"""Ports for servers that bind them later, or never."""
import random
import socket

FIRST, LAST = 10_000, 65_535
_given = set()


def ephemeral():
    """(first, last) of the ports that the kernel gives to clients."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        first, last = map(int, f.read().split())
    return first, last


def free_port():
    """A port of 127.0.0.1 where nobody listens, another one each time.

    None of those that clients get: one of these could be taken before the server binds it, or while it is being
    restarted; and a client that knocks at one until somebody answers may get it as its own, and be connected to
    itself.
    """
    first, last = ephemeral()
    ports = [port for port in range(FIRST, LAST + 1) if not first <= port <= last] or range(FIRST, LAST + 1)
    while True:
        port = random.choice(ports)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
