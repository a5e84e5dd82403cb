"""Which back end holds the accounts of a domain, and the lock under which they change.

DOMAIN/.accounts says it in a word, `cdb` or `sql`. A domain without the file has its accounts in its vpasswd, or, in
a home whose VPOPHOME/options says `account-store sql`, in SQL if it has no vpasswd. vconvert moves a domain from
one to the other (`moved` after the word: what it left is still there); whoever changes an account holds .vpasswd.lock
and looks whether it has moved meanwhile.

Only vpopmail's own domains can be in SQL: all of them share one database, and who gets into the uid of another
domain shall not find there the passwords of all.
"""
import os

from ..base.errors import Temporary, text
from . import files, home

CDB, SQL, MOVED = b"cdb", b"sql", b"moved"
MARK, LOCK = b".accounts", b".vpasswd.lock"
FILES = (b"vpasswd", b"vpasswd.cdb")
PRIVATE = 0o600


def of(domain):
    """CDB or SQL. Raises Temporary."""
    return read(domain, domain.directory + b"/")


def read(domain, where):
    """What the mark says. where: the domain's directory with a slash, or b"" for who is in it."""
    found = words(where)
    if found is None:
        return default(domain, where)
    if found[:1] not in ([CDB], [SQL]):
        raise Temporary(f"{os.fsdecode(where + MARK)} says neither cdb nor sql")
    return found[0]


def words(where):
    """The words of the mark, None if there is none. Raises Temporary."""
    try:
        with open(where + MARK, "rb", buffering=0) as f:
            return f.read(64).split()
    except FileNotFoundError:
        return None
    except OSError as why:
        raise Temporary(f"unable to read {os.fsdecode(where + MARK)}: {text(why)}") from why


def unfinished(domain):
    """True if the domain was moved, and the store it left has not been emptied."""
    return MOVED in (words(domain.directory + b"/") or ())


def default(domain, where):
    """The back end of a domain that does not say."""
    if home.option(b"account-store") != SQL or not may_be_in_sql(domain):
        return CDB
    here = any(os.path.exists(where + name) for name in FILES) or not os.path.isdir(where or b".")
    return CDB if here else SQL


def may_be_in_sql(domain):
    return domain.uid == home.ids()[0]


def choose(kind, unfinished=False):
    """Write the mark, in the domain's directory."""
    files.replace(MARK, kind + (b" " + MOVED if unfinished else b"") + b"\n", PRIVATE)


class Changing:
    """with Changing(domain, kind): in the domain's directory, hold the lock under which accounts change. shared: others
    may change theirs at the same time, but nobody moves the domain. Raises Temporary if it is in another back end."""

    def __init__(self, domain, kind, shared=False):
        self._domain, self._kind, self._lock = domain, kind, files.Locked(LOCK, shared)

    def __enter__(self):
        self._lock.__enter__()
        try:
            if read(self._domain, b"") != self._kind:
                raise Temporary("the accounts of this domain are being moved; try again")
        except BaseException:
            self._lock.__exit__()
            raise

    def __exit__(self, *problem):
        self._lock.__exit__()
