"""Numbers as qmail reads them: the digits at the start of a text, whatever follows."""

DIGITS = b"0123456789"
LONGEST = 30                        # digits that count: enough to be larger than anything compared with


def leading(text):
    """(the number that text starts with, what follows); (None, text) if it starts with no digit."""
    rest = text.lstrip(DIGITS)
    digits = len(text) - len(rest)
    return (int(text[:min(digits, LONGEST)]), rest) if digits else (None, text)
