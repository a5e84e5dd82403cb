"""Numbers as qmail reads them: the digits at the start of a text, whatever follows."""

DIGITS = b"0123456789"
LONGEST = 1000                      # digits that count: far more than anything compared with has
WORD = 0xFFFF_FFFF_FFFF_FFFF        # an unsigned long of C


def leading(text):
    """(the number that text starts with, what follows); (None, text) if it starts with no digit."""
    rest = text.lstrip(DIGITS)
    digits = len(text) - len(rest)
    return (int(text[:min(digits, LONGEST)]), rest) if digits else (None, text)


def unsigned(text):
    """The number that text starts with, in 64 bits without regard to overflow as qmail computes it; 0 without
    a digit."""
    return (leading(text)[0] or 0) & WORD
