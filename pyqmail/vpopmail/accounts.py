"""The accounts of a domain: one small interface over two back ends.

    accounts = store(domain)                    domain: from assign.find()
    accounts.get(b"joe")                        Account, or None; raises Temporary
    accounts.names(), accounts.all()            in the order of the store
    accounts.count()
    accounts.add(account)                       raises Refused USERNAME_EXISTS
    accounts.add_many(list)                     in one go; the names of those that were there already
    accounts.put(account)                       replaces it; raises Refused USER_DOES_NOT_EXIST
    accounts.change(name, function)             function(account) changes it, under the lock
    accounts.change_all(function)               every account
    accounts.delete(name)                       raises Refused USER_DOES_NOT_EXIST
    accounts.rebuild()                          whatever is derived from the accounts is made again
    accounts.directories                        where hashdirs keeps its count
    accounts.logins                             True: note_login(name, ip, seconds), last_login(name) are here
    accounts.kind                               b"cdb" or b"sql"

and for moving a domain (move.py), while nobody changes anything: check(account), prefill({name: account}, tell),
replace_all(list), forget().

Not being able to ask is always Temporary (or OSError), never "no such user". The back ends are vpasswd.py, the
embedded one (a text file and a cdb for each domain), and sql.py; backend.py says which one a domain has.
"""
from ..base.errors import Temporary
from . import backend, home
from .account import Account, line, parse
from .place import Inside
from .vpasswd import Embedded

__all__ = ["Account", "line", "parse", "store", "in_backend", "begin", "end"]


def store(domain):
    """The accounts of a domain (anything with real, uid, gid and directory). Raises Temporary."""
    return in_backend(domain, backend.of(domain))


def in_backend(domain, kind):
    """The accounts of a domain as that back end has them."""
    if kind == backend.CDB:
        return Embedded(domain)
    try:
        from .sql import Sql            # SQLAlchemy: 200 ms that only its users have
    except ImportError as why:
        raise Temporary(f"accounts in SQL: {why}; qmailctl vpopmail --sql installs it") from why
    return Sql(domain)


def begin(domain):
    """A new domain, and its directory, are there: its accounts will be where VPOPHOME/options says. Nobody of an
    earlier domain of that name is left. Raises Temporary."""
    if home.option(b"account-store") == backend.SQL and backend.may_be_in_sql(domain):
        in_backend(domain, backend.SQL).forget()
        with Inside(domain):
            backend.choose(backend.SQL)


def end(domain):
    """The domain goes, with its directory: what it has elsewhere goes, too. Raises Temporary."""
    if backend.of(domain) == backend.SQL:
        in_backend(domain, backend.SQL).forget()
