"""The address in MAIL and RCPT, as liberally as qmail-smtpd reads it.

    FROM:<@relay.example:"joe b"@a.example> SIZE=5      gives b"joe b@a.example"
    FROM: joe@a.example SIZE=5                          the same without brackets

Quotes and backslashes are removed and what they protect is kept; a source route (RFC 5321 appendix
C) is dropped; what follows the address is ignored; a missing ">" is forgiven. Source: recorded.
"""
LONGEST = 899                       # bytes; qmail-queue takes 1002, RELAYCLIENT may add to ours


def address(argument):
    """The unquoted address in the argument of MAIL or RCPT, possibly b""."""
    _, bracket, inside = argument.partition(b"<")
    if bracket:
        end = b">"
    else:
        end, inside = b" ", argument.partition(b":")[2].lstrip(b" ")
    if inside.startswith(b"@"):
        inside = inside.partition(b":")[2]
    if b"\\" in inside or b'"' in inside:
        return unquote(inside, end[0])
    return inside.partition(end)[0]


def unquote(text, end):
    """`text` without quotes and backslashes, up to the first `end` (a byte value) that is not quoted."""
    kept, quoted, escaped = bytearray(), False, False
    for byte in text:
        if escaped:
            kept.append(byte)
            escaped = False
        elif byte == end and not quoted:
            break
        elif byte == 0x5C:          # backslash
            escaped = True
        elif byte == 0x22:          # quote
            quoted = not quoted
        else:
            kept.append(byte)
    return bytes(kept)


def literal(address):
    """The text in the brackets of local@[text]; None if the address has no such end."""
    at = address.rfind(b"@")
    if at >= 0 and address[at + 1:at + 2] == b"[" and address.endswith(b"]"):
        return address[at + 2:-1]
    return None
