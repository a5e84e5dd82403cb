"""/etc/shadow: name:hash:last change:minimum:maximum:warning:inactive:expiry:reserved, days since 1970.

Source: shadow(5); the order of the tests about age is pam_unix's.
"""
import errno

from ..base import netio
from ..base.errors import Temporary, text

PATH = "/etc/shadow"
DIGITS = 18                         # of a number there


class Entry:
    """One account's line."""

    def __init__(self, line):
        fields = line.split(b":") + [b""] * 9
        self.name, self.hash = fields[0], fields[1]
        self.changed, _, self.maximum, _, self.inactive, self.expires = (_days(field) for field in fields[2:8])

    def expired(self, today):
        """True if the account, or its password, is out of date on day `today`, or the password must be changed."""
        if self.expires is not None and today >= self.expires:
            return True
        if self.changed == 0:
            return True
        return None not in (self.changed, self.maximum) and today - self.changed > self.maximum


def _days(field):
    return int(field) if field.isdigit() and len(field) <= DIGITS else None


def find(name, path=PATH):
    """(the Entry of `name` or None, a hash of the kind used in this file). Raises Temporary if it cannot be read."""
    try:
        data = netio.read_file(path)
    except OSError as why:
        if why.errno == errno.ENOENT:
            return None, b""
        raise Temporary(f"unable to read {path}: {text(why)}") from why
    found, kind = None, b""
    for line in data.split(b"\n"):
        entry = Entry(line)
        if entry.hash.startswith(b"$"):
            kind = kind or entry.hash
        if found is None and name and entry.name == name:
            found = entry
    return found, kind
