"""Addresses of mail users: characters, lengths, default domain.

Source: vpopmail, as recorded.
"""
import os

from ..base import control
from . import home
from .errors import Refused

LONGEST = 156                           # bytes of an address that are looked at
#  limit of      bytes   what is answered beyond it
USER, DOMAIN, PASSWORD, COMMENT, DIRECTORY, QUOTA, ALIAS_LINE, HASH = 32, 96, 128, 48, 160, 20, 159, 128
ALNUM = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
USER_CHARACTERS = ALNUM + b"!#$&'*+-./=?^_`{|}~"
DOMAIN_CHARACTERS = ALNUM + b"-."
ENVIRONMENT_CHARACTERS = ALNUM + b"_-.@"
SEPARATORS = b"@%/"


class BadName(Refused):
    """A character that no user or domain may have. `line`: the complaint for standard error."""

    def __init__(self, line):
        super().__init__("ILLEGAL_USERNAME")
        self.line = line


def lower(text):
    """An address or domain as vpopmail compares it."""
    return text[:LONGEST].lower()


def parse(address):
    """(user, domain) of an address, lower-cased; the default domain if it names none. Raises BadName."""
    address = lower(address)
    for separator in SEPARATORS:
        user, found, domain = address.partition(bytes((separator,)))
        if found:
            break
    else:
        user, domain = address, b""
    if user.strip(USER_CHARACTERS):
        raise BadName(b"user invalid " + user)
    if domain.strip(DOMAIN_CHARACTERS):
        raise BadName(b"domain invalid " + domain)
    return user, domain or default_domain()


def valid_user(user):
    """True if no character of the name is one that names cannot have."""
    return bool(user) and not user.strip(USER_CHARACTERS)


def default_domain():
    """The domain of a user given without one, b"" if there is none: VPOPMAIL_DOMAIN, the domain of the address that
    the client connected to (unless control/locals has it), the first line of etc/defaultdomain."""
    given = os.environb.get(b"VPOPMAIL_DOMAIN")
    if given:
        return lower(bytes(byte if byte in ENVIRONMENT_CHARACTERS else ord("_") for byte in given))
    local = os.environb.get(b"TCPLOCALIP")
    if local:
        from . import ipmap             # only where a network server set TCPLOCALIP
        domain = ipmap.domain(local)
        if domain and domain not in control.lines("locals"):
            return domain
    try:
        with open(home.path(b"etc", b"defaultdomain"), "rb") as f:
            return lower(f.readline().strip())
    except FileNotFoundError:
        return b""
