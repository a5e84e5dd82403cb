"""The Received line that network daemons put before a message. Every byte of a client's words that
could end a line, a comment or a word becomes "?"."""
from ..base import date

SAFE = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.@%+/=:-[]"
QUESTIONED = bytes(byte if byte in SAFE else 0x3F for byte in range(256))


def received(protocol, client, helo, now):
    """The two lines as bytes. client: a Client; helo: what it calls itself, None when that is its name;
    now: seconds since 1970."""
    said = b" (HELO %b)" % safe(helo) if helo is not None else b""
    info = safe(client.info) + b"@" if client.info is not None else b""
    return b"Received: from %b%b (%b%b)\n  by %b with %b; %b\n" % (
        safe(client.host), said, info, safe(client.ip), safe(client.local), protocol, date.rfc822(now))


def safe(words):
    return words.translate(QUESTIONED)
