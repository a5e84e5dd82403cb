"""Who controls an address by users/cdb, and the fields that say so.

Source: qmail-users(5), qmail-lspawn(8).
"""
from collections import namedtuple

from ..base import number
from ..base.errors import Temporary
from .codes import BUG, CDB, ROOT, Undecided

HIGHEST_ID = (1 << 32) - 2          # (uid_t) -1 means "do not change" to the kernel

Controller = namedtuple("Controller", "user uid gid home dash ext")


def find(database, local):
    """The fields for a local part (any case), each ended by NUL; None if nobody is assigned to it.

    database: base.cdb.Reader. Order: the exact address, then the longest wildcard, tried only where
    its last byte is listed under the empty key, then the catch-all. What a wildcard leaves of
    the local part is appended to the last field, its case kept. Raises Undecided.
    """
    key = b"!" + local.lower()
    try:
        wildcards = database.get(b"")
        if wildcards is None:
            raise Undecided(CDB)
        found = database.get(key + b"\0")
        if found is not None:
            return found + b"\0"
        for end in range(len(key), 0, -1):
            if end == 1 or key[end - 1] in wildcards:
                found = database.get(key[:end])
                if found is not None:
                    return found + local[end - 1:] + b"\0"
    except Temporary:
        raise Undecided(CDB) from None
    return None


def controller(fields):
    """The fields as a Controller. Raises Undecided: BUG if they are not sane, ROOT for uid 0.

    fields: at least six, each ended by NUL; uid and gid are their leading digits.
    """
    user, uid, gid, home, dash, ext, rest = (fields.split(b"\0", 6) + [None] * 6)[:7]
    if rest is None:
        raise Undecided(BUG)
    uid, gid = number.leading(uid)[0] or 0, number.leading(gid)[0] or 0
    if uid == 0:
        raise Undecided(ROOT)
    if uid > HIGHEST_ID or gid > HIGHEST_ID:
        raise Undecided(BUG)
    return Controller(user, uid, gid, home, dash, ext)
