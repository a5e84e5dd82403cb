"""Domains in users/assign and users/cdb.

    +DOMAIN-:REALDOMAIN:UID:GID:DIRECTORY:-::       per domain; an alias domain carries the real one's name

A domain exists if users/cdb has the key !DOMAIN-. Lines of others are kept.
Source: vpopmail, as recorded; qmail-users(5).
"""
import os

from ..base import cdb, home, number
from ..base.errors import Temporary
from .errors import Refused

LARGEST_ID = (1 << 32) - 2


class Domain:
    """A virtual domain: `name` as asked for, `real` (the same unless it is an alias domain), uid, gid, directory."""

    __slots__ = ("name", "real", "uid", "gid", "directory")

    def __init__(self, name, real, uid, gid, directory):
        self.name, self.real, self.uid, self.gid, self.directory = name, real, uid, gid, directory

    @property
    def alias(self):
        """True if the name is that of an alias domain."""
        return self.name != self.real


def find(name):
    """The Domain of that name (bytes, any case); None if there is none. Raises Temporary, OSError if users/cdb is
    there and cannot be read."""
    name = name.lower()
    try:
        data = cdb.find(home.path("users", "cdb"), b"!%b-" % name)
    except FileNotFoundError:
        return None
    return None if data is None else domain(name, data.split(b"\0"))


def domain(name, fields):
    """The Domain of the fields REAL, UID, GID, DIRECTORY and so on. Raises Temporary if they are not sane."""
    if len(fields) < 4:
        raise Temporary(f"users/cdb: bad entry for {os.fsdecode(name)}")
    uid, gid = number.leading(fields[1])[0], number.leading(fields[2])[0]
    if uid is None or gid is None or uid > LARGEST_ID or gid > LARGEST_ID:
        raise Temporary(f"users/cdb: bad entry for {os.fsdecode(name)}")
    return Domain(name, fields[0], uid, gid, fields[3].rstrip(b"/") or b"/")


def everyone():
    """Every Domain of users/assign with a dot in its name, in the order of the file. Raises Refused
    CANT_READ_ASSIGN."""
    try:
        with open(home.path("users", "assign"), "rb") as f:
            lines = f.read().split(b"\n")
    except OSError as why:
        raise Refused("CANT_READ_ASSIGN") from why
    found = []
    for text in lines:
        if text.startswith(b"."):
            break
        fields = text.split(b":")
        if text.startswith(b"+") and fields[0].endswith(b"-") and b"." in fields[0] and len(fields) > 5:
            found.append(domain(fields[0][1:-1], fields[1:]))
    return found


def aliases(real):
    """The names of the alias domains of a real one, in the order of users/assign."""
    return [each.name for each in everyone() if each.real == real and each.name != real]
