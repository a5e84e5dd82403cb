"""Aliases of a domain: the lines of its .qmail-NAME files. A dot in a name is a colon in the file's name."""
import os

from . import files, names, onchange
from .errors import Refused
from .place import Inside

PREFIX = b".qmail-"
DEFAULT = b"default"
LOCK = b".valias.lock"
PRIVATE = 0o600


def file_of(user):
    return PREFIX + user.replace(b".", b":")


def lines(domain, user):
    """The lines of an alias, none if there is no such."""
    with Inside(domain):
        return [line for line in (files.read(file_of(user)) or b"").split(b"\n") if line]


def users(domain):
    """The names that have aliases, sorted."""
    with Inside(domain):
        found = [name.removeprefix(PREFIX) for name in os.listdir(b".") if name.startswith(PREFIX)]
    return sorted(name.replace(b":", b".") for name in found if name != DEFAULT)


def insert(domain, user, line):
    """Add a line; False if it is there already. Raises Refused ALIAS_LINE_TOO_LONG."""
    if len(line) > names.ALIAS_LINE:
        raise Refused("ALIAS_LINE_TOO_LONG")
    if b"\n" in line:
        raise Refused("BAD_CHARACTER")
    with Inside(domain), files.Locked(LOCK):
        text = files.read(file_of(user)) or b""
        if line in text.split(b"\n"):
            return False
        files.replace(file_of(user), text + (b"\n" if text and not text.endswith(b"\n") else b"") + line + b"\n",
                      PRIVATE)
    onchange.tell(b"valias_insert", b"%b@%b - %b" % (user, domain.real, line))
    return True


def delete(domain, user):
    """Take the whole alias away."""
    onchange.tell(b"valias_delete", b"%b@%b" % (user, domain.real))
    with Inside(domain):
        files.remove(file_of(user))
        files.sync_directory(b".")
