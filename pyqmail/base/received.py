"""Who a network daemon talks to (tcp-environ(5)), and the Received line that says so.

Every byte of a client's words that could end a line, a comment or a word becomes "?" in that line.
"""
from . import date, number

SAFE = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.@%+/=:-[]"
QUESTIONED = bytes(byte if byte in SAFE else 0x3F for byte in range(256))


class Client:
    """The connection's variables: wire-level facts and what the rules say about this client."""

    def __init__(self, environ):
        get = environ.get
        self.ip, self.host, self.info = get(b"TCPREMOTEIP", b"unknown"), get(b"TCPREMOTEHOST", b"unknown"), \
            get(b"TCPREMOTEINFO")
        self.local = get(b"TCPLOCALHOST", get(b"TCPLOCALIP", b"unknown"))
        self.relayclient = get(b"RELAYCLIENT")
        databytes = get(b"DATABYTES")
        self.databytes = None if databytes is None else number.leading(databytes)[0] or 0


def received(protocol, client, helo, now):
    """The two lines as bytes. client: a Client; helo: what it calls itself, None when that is its name;
    now: seconds since 1970."""
    said = b" (HELO %b)" % safe(helo) if helo is not None else b""
    info = safe(client.info) + b"@" if client.info is not None else b""
    return b"Received: from %b%b (%b%b)\n  by %b with %b; %b\n" % (
        safe(client.host), said, info, safe(client.ip), safe(client.local), protocol, date.rfc822(now))


def safe(words):
    return words.translate(QUESTIONED)
