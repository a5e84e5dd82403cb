"""Envelope addresses: bytes without brackets or quotes, `box@host`; the last "@" separates."""

ATOMS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~."
ESCAPED = b'\\"\r\n'                # backslash first: what is escaped must not be escaped again


def split(address):
    """(box, host) at the last "@"; host is None when there is no "@"."""
    box, at, host = address.rpartition(b"@")
    return (box, host) if at else (host, None)


def needs_quotes(box):
    """True if a box cannot stand in a header as it is: empty, other bytes than RFC 5322 atext and
    dots, or a dot at either end or twice in a row."""
    return bool(not box or box.translate(None, ATOMS) or box[:1] == b"." or box[-1:] == b"." or b".." in box)


def quote_box(box):
    """The box as it is, or in double quotes with backslashes before CR, LF, quote and backslash."""
    if not needs_quotes(box):
        return box
    for byte in ESCAPED:
        byte = bytes((byte,))
        box = box.replace(byte, b"\\" + byte)
    return b'"%b"' % box


def quote(address):
    """An envelope address as headers show it: box quoted if it must be, host never touched.

    The empty address stays empty; an address without "@" is all box. Newlines remain in the
    answer, after a backslash: whoever writes a line replaces them. Source: qmail's quote2.
    """
    if not address:
        return address
    box, host = split(address)
    return quote_box(box) if host is None else b"%b@%b" % (quote_box(box), host)
