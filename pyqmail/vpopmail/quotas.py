"""Quotas as they are given and as they are stored.

Given: bytes, with k or M (and any of B, S after it), a number of messages with C, both with a comma, or NOQUOTA.
Stored: b"BYTESS", b"NC", b"BYTESS,NC", b"NOQUOTA". Source: vpopmail, as recorded.
"""
import os

from ..base import maildirsize, number
from . import files
from .errors import Refused
from .place import Inside, within

NONE = b"NOQUOTA"
LARGEST = (1 << 63) - 1
UNITS = {b"": 1, b"K": 1 << 10, b"M": 1 << 20, b"G": 1 << 30}


def normal(text):
    """The stored form of a quota. Raises Refused BAD_CHARACTER for what is none (0 included: NOQUOTA lifts it)."""
    text = text.upper()
    if text == NONE:
        return NONE
    size = count = 0
    for part in text.split(b","):
        value, unit = number.leading(part)
        if not value:
            raise Refused("BAD_CHARACTER")
        if unit == b"C":
            count = min(value, LARGEST)
        else:
            factor = UNITS.get(unit.removesuffix(b"S").removesuffix(b"B"))
            if factor is None:
                raise Refused("BAD_CHARACTER")
            size = min(value * factor, LARGEST)
    return b",".join([b"%dS" % size] * bool(size) + [b"%dC" % count] * bool(count))


def limits(text):
    """True if a stored quota limits anything."""
    return bool(text) and not text.startswith(b"NO")


def apply(domain, account):
    """Let the Maildir of an account know its quota: maildirsize is counted anew, or goes if there is none."""
    with Inside(domain):
        directory = within(domain, account.directory) + b"/Maildir"
        if not os.path.isdir(directory):
            return                      # made at the first delivery or login, with its quota
        files.remove(b"%b/%b" % (directory, maildirsize.NAME))
        if limits(account.quota):
            maildirsize.recount(directory, account.quota)
