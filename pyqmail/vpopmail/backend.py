"""Which back end holds the accounts of a domain, and the lock under which they change.

DOMAIN/.accounts says it in a word, `cdb` or `sql`. A domain without the file has its accounts in its vpasswd, or, in
a home whose VPOPHOME/options says `account-store sql`, in SQL if it has no vpasswd. vconvert moves a domain from
one to the other; whoever changes an account holds .vpasswd.lock and looks whether it has moved meanwhile.

Only vpopmail's own domains can be in SQL: all of them share one database, and who gets into the uid of another
domain shall not find there the passwords of all.
"""
import os

from ..base.errors import Temporary, text
from . import files, home

CDB, SQL = b"cdb", b"sql"
MARK, LOCK = b".accounts", b".vpasswd.lock"
FILES = (b"vpasswd", b"vpasswd.cdb")
PRIVATE = 0o600


def of(domain):
    """CDB or SQL. Raises Temporary."""
    return read(domain, domain.directory + b"/")


def read(domain, where):
    """What the mark says. where: the domain's directory with a slash, or b"" for who is in it."""
    try:
        with open(where + MARK, "rb", buffering=0) as f:
            word = f.read(16).strip()
    except FileNotFoundError:
        return default(domain, where)
    except OSError as why:
        raise Temporary(f"unable to read {os.fsdecode(where + MARK)}: {text(why)}") from why
    if word not in (CDB, SQL):
        raise Temporary(f"{os.fsdecode(where + MARK)} says neither cdb nor sql")
    return word


def default(domain, where):
    """The back end of a domain that does not say."""
    if home.option(b"account-store") != SQL or not may_be_in_sql(domain):
        return CDB
    here = any(os.path.exists(where + name) for name in FILES) or not os.path.isdir(where or b".")
    return CDB if here else SQL


def may_be_in_sql(domain):
    return domain.uid == home.ids()[0]


def choose(kind):
    """Write the mark, in the domain's directory."""
    files.replace(MARK, kind + b"\n", PRIVATE)


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
