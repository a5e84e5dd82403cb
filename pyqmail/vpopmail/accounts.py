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
    accounts.replace_all(list)                  for who holds the lock: let these be all
    accounts.forget()                           for who holds the lock: remove all
    accounts.directories                        where hashdirs keeps its count
    accounts.logins                             True: note_login(name, ip, seconds), last_login(name) are here
    accounts.kind                               b"cdb" or b"sql"

Not being able to ask is always Temporary (or OSError), never "no such user". The back ends are vpasswd.py, the
embedded one (a text file and a cdb for each domain), and sql.py; backend.py says which one a domain has.
"""
from . import backend
from .account import Account, line, parse
from .vpasswd import Embedded

__all__ = ["Account", "line", "parse", "store", "in_backend"]


def store(domain):
    """The accounts of a domain (anything with real, uid, gid and directory). Raises Temporary."""
    return in_backend(domain, backend.of(domain))


def in_backend(domain, kind):
    """The accounts of a domain as that back end has them."""
    if kind == backend.CDB:
        return Embedded(domain)
    from .sql import Sql                # SQLAlchemy: 200 ms that only its users have
    return Sql(domain)
