"""Addresses to listen at: what a line of control/smtplisten means, and a socket for it."""
import socket

BACKLOG = 512                       # connections the kernel completes for us while we are busy


def parse(entry):
    """("192.0.2.1", 25) of "192.0.2.1:25" or "[2001:db8::1]:25". Raises ValueError, which names the entry."""
    host, _, port = entry.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"not an address and port: {entry}")
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:                 # a name, for instance
        raise ValueError(f"not an address and port: {entry}") from None
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"not an address and port: {entry}")
    return host, int(port)


def bind(host, port):
    """One listening socket, not blocking. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
