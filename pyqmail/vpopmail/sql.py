"""The SQL back end: the accounts of a domain as rows of vpopmail's table `vpopmail`.

Its companions dir_control (which directory a new user gets) and lastauth (who logged in when, from where) are used as
vpopmail uses them. Aliases, limits, open relays and the IP map stay files: qmail-local obeys a .qmail file without
asking anybody, and the addresses that may relay are those of one machine. In vpopmail, too, these tables are options
of their own.

A change holds .vpasswd.lock of the domain together with all other changes, so that vconvert can keep them away while
it moves the domain. For the interface see accounts.py; what this needs of SQL is in database.py.
"""
import time
from contextlib import contextmanager

from . import backend, hashdirs, names
from .account import Account
from .database import ACCOUNTS, DIRECTORIES, LEVELS, LOGINS, Duplicate, count, fetch, transaction, value
from .errors import Refused
from .place import Inside

BATCH = 1000                            # rows in one statement
COLUMNS = ACCOUNTS.c
FIELDS = (COLUMNS.pw_name, COLUMNS.pw_passwd, COLUMNS.pw_uid, COLUMNS.pw_gid, COLUMNS.pw_gecos, COLUMNS.pw_dir,
          COLUMNS.pw_shell, COLUMNS.pw_clear_passwd)
HERE = COLUMNS.pw_domain == value("in_domain")
ONE = HERE & (COLUMNS.pw_name == value("named"))
GET = ACCOUNTS.select().with_only_columns(*FIELDS).where(ONE)
GET_TO_CHANGE = GET.with_for_update()
ALL = ACCOUNTS.select().with_only_columns(*FIELDS).where(HERE)
NAMES = ACCOUNTS.select().with_only_columns(COLUMNS.pw_name).where(HERE)
COUNT = ACCOUNTS.select().with_only_columns(count(COLUMNS.pw_name)).where(HERE)
OF_HERE = LOGINS.c.domain == value("in_domain")
LOGIN = OF_HERE & (LOGINS.c.userid == value("named"))
LAST_OF_ALL = LOGINS.select().with_only_columns(LOGINS.c.timestamp, LOGINS.c.remote_ip, LOGINS.c.userid).where(OF_HERE)
LAST = LAST_OF_ALL.where(LOGINS.c.userid == value("named"))
LIMITS = {"pw_name": names.USER, "pw_passwd": names.HASH, "pw_gecos": 64, "pw_dir": names.DIRECTORY,
          "pw_shell": names.QUOTA, "pw_clear_passwd": names.PASSWORD}


class Sql:
    """The accounts of a domain in SQL."""

    kind = backend.SQL
    logins = True

    def __init__(self, domain):
        self._domain, self._key = domain, {"in_domain": text(domain.real)}
        self.directories = Directories(self._key["in_domain"])

    # ------------------------------------------------------------ look-up

    def get(self, name):
        try:
            wanted = text(name)
        except Refused:
            return None                     # nobody could have been given it
        rows = fetch(GET, {**self._key, "named": wanted})
        return account_of(rows[0]) if rows else None

    def all(self):
        """Every Account, sorted by name as in vpasswd: databases have an order of their own."""
        return sorted((account_of(row) for row in fetch(ALL, self._key)), key=lambda account: account.name)

    def names(self):
        return sorted(data(row[0]) for row in fetch(NAMES, self._key))

    def count(self):
        return fetch(COUNT, self._key)[0][0]

    # ------------------------------------------------------------ change

    def add(self, account):
        row = self._row(account)
        try:
            with self._changing() as connection:
                connection.execute(ACCOUNTS.insert(), row)
        except Duplicate:
            raise Refused("USERNAME_EXISTS") from None

    def add_many(self, found):
        """Add accounts in one go; the names of those that were not added because they are there already."""
        rows = {account.name: self._row(account) for account in reversed(found)}
        while True:
            known = set(self.names())
            new = [row for name, row in rows.items() if name not in known]
            try:
                with self._changing() as connection:
                    insert(connection, ACCOUNTS, new)
            except Duplicate:
                continue                    # somebody else added one of them just now
            return [name for name in rows if name in known]

    def put(self, account):
        def exchange(stored):
            for field in Account.__slots__[1:]:
                setattr(stored, field, getattr(account, field))
        self._change(account.name, exchange)

    def change(self, name, function, stale=False):
        """stale means nothing here: nothing is made from the accounts."""
        self._change(name, function)

    def change_all(self, function, stale=False):
        with self._changing() as connection:
            for row in connection.execute(ALL.with_for_update(), self._key).fetchall():
                self._update(connection, account_of(row), function)

    def delete(self, name):
        with self._changing() as connection:
            key = {**self._key, "named": text(name)}
            if not connection.execute(ACCOUNTS.delete().where(ONE), key).rowcount:
                raise Refused("USER_DOES_NOT_EXIST")
            connection.execute(LOGINS.delete().where(LOGIN), key)

    def rebuild(self):
        """There is nothing that is made from the accounts."""

    def replace_all(self, found):
        """Let these be all the accounts, in as few statements as what is different asks for. For who holds the lock."""
        wanted = {account.name: account for account in found}
        stored = {account.name: account for account in self.all()}
        with transaction() as connection:
            gone = [{**self._key, "named": text(name)} for name in stored.keys() - wanted.keys()]
            execute_many(connection, ACCOUNTS.delete().where(ONE), gone)
            for name in stored.keys() & wanted.keys():
                if stored[name] != wanted[name]:
                    self._store(connection, wanted[name])
            insert(connection, ACCOUNTS, [self._row(wanted[name]) for name in sorted(wanted.keys() - stored.keys())])

    def forget(self):
        """Remove all rows of the domain."""
        with transaction() as connection:
            connection.execute(ACCOUNTS.delete().where(HERE), self._key)
            connection.execute(LOGINS.delete().where(OF_HERE), self._key)
            connection.execute(DIRECTORIES.delete().where(DIRECTORIES.c.domain == value("in_domain")), self._key)

    # ------------------------------------------------------------ logins

    def note_login(self, name, ip, seconds=None):
        """Note a login: name, address (bytes), time (now)."""
        self.note_logins([(name, ip, seconds)])

    def note_logins(self, found):
        """Note several."""
        rows = [{"userid": text(name), "domain": self._key["in_domain"], "remote_ip": text(ip),
                 "timestamp": int(time.time()) if seconds is None else seconds} for name, ip, seconds in found]
        try:
            with transaction() as connection:
                keys = [{**self._key, "named": row["userid"]} for row in rows]
                execute_many(connection, LOGINS.delete().where(LOGIN), keys)
                insert(connection, LOGINS, rows)
        except Duplicate:
            pass                            # he just logged in elsewhere, too

    def last_login(self, name):
        """(seconds, address) of the last login; None if there was none."""
        rows = fetch(LAST, {**self._key, "named": text(name)})
        return login_of(rows[0]) if rows else None

    def all_logins(self):
        """{name: (seconds, address)}"""
        return {data(row[2]): login_of(row) for row in fetch(LAST_OF_ALL, self._key)}

    # ------------------------------------------------------------ moving

    def check(self, account):
        """Raises Refused if this store cannot hold the account as it is."""
        row = row_of(account)
        if account_of(row.values()) != account:
            raise Refused("BAD_CHARACTER")

    def prefill(self, wanted, tell):
        """Store what is not here yet of {name: Account}, a batch after the other; tell(number) hears of each. For a
        domain whose accounts are elsewhere yet."""
        stored = {account.name: account for account in self.all()}
        missing = [account for name, account in sorted(wanted.items()) if stored.get(name) != account]
        tell(len(wanted) - len(missing))
        for start in range(0, len(missing), BATCH):
            batch = missing[start:start + BATCH]
            other = [{**self._key, "named": text(account.name)} for account in batch if account.name in stored]
            with transaction() as connection:
                execute_many(connection, ACCOUNTS.delete().where(ONE), other)
                insert(connection, ACCOUNTS, [self._row(account) for account in batch])
            tell(len(batch))

    # ------------------------------------------------------------ rows

    def _row(self, account):
        return {"pw_domain": self._key["in_domain"], **row_of(account)}

    def _change(self, name, function):
        with self._changing() as connection:
            row = connection.execute(GET_TO_CHANGE, {**self._key, "named": text(name)}).fetchone()
            if row is None:
                raise Refused("USER_DOES_NOT_EXIST")
            self._update(connection, account_of(row), function)

    def _update(self, connection, account, function):
        function(account)
        self._store(connection, account)

    def _store(self, connection, account):
        row = row_of(account)
        connection.execute(ACCOUNTS.update().where(ONE).values(**{name: value("new_" + name) for name in row}),
                           {**self._key, "named": row["pw_name"], **{"new_" + name: row[name] for name in row}})

    def _changing(self):
        return changing(self._domain)


@contextmanager
def changing(domain):
    """A transaction, while nobody moves the domain; gives the connection."""
    with Inside(domain), backend.Changing(domain, backend.SQL, shared=True), transaction() as connection:
        yield connection


class Directories:
    """The count and the current directory of a domain (str), a row of dir_control. See hashdirs.py."""

    def __init__(self, domain):
        self._key = {"in_domain": domain}

    def read(self):
        columns = DIRECTORIES.c.cur_users, DIRECTORIES.c.the_dir
        rows = fetch(DIRECTORIES.select().with_only_columns(*columns).where(DIRECTORIES.c.domain == value("in_domain")),
                     self._key)
        return (rows[0][0] or 0, data(rows[0][1]).strip()) if rows else (0, b"")

    def write(self, number, place, mode=None):
        """mode: that of a file; nothing here."""
        last = len(hashdirs.NAMES) - 1
        levels = (0, 0, 0, last, last, last, 0, 2, 4, *hashdirs.indices(place))
        row = {"domain": self._key["in_domain"], "cur_users": number, "level_cur": hashdirs.level(place),
               "level_max": hashdirs.LEVELS, "the_dir": text(place), **dict(zip(LEVELS, levels))}
        with transaction() as connection:
            connection.execute(DIRECTORIES.delete().where(DIRECTORIES.c.domain == value("in_domain")), self._key)
            connection.execute(DIRECTORIES.insert(), row)


def insert(connection, table, rows):
    execute_many(connection, table.insert(), rows)


def execute_many(connection, statement, rows):
    """Execute a statement with each of the rows, of which there may be none."""
    for start in range(0, len(rows), BATCH):
        connection.execute(statement, rows[start:start + BATCH])


def row_of(account):
    """The columns of an Account. Raises Refused BAD_CHARACTER for what no column can hold."""
    row = {"pw_name": text(account.name), "pw_passwd": text(account.hash), "pw_uid": account.uidfield,
           "pw_gid": account.flags, "pw_gecos": text(account.comment.replace(b":", b"")),
           "pw_dir": text(account.directory), "pw_shell": text(account.quota),
           "pw_clear_passwd": text(account.clear)}
    if any(len(row[name]) > limit for name, limit in LIMITS.items()):
        raise Refused("BAD_CHARACTER")
    return row


def account_of(row):
    name, hashed, uidfield, flags, comment, directory, quota, clear = row
    return Account(data(name), data(hashed), uidfield or 0, flags or 0, data(comment), data(directory), data(quota),
                   data(clear))


def login_of(row):
    """(seconds, address) of a row."""
    return row[0], data(row[1]).strip()


def text(field):
    """A field (bytes) as SQL has it. Raises Refused BAD_CHARACTER."""
    try:
        found = field.decode()
    except UnicodeDecodeError:
        raise Refused("BAD_CHARACTER") from None
    if "\0" in found or "\n" in found:
        raise Refused("BAD_CHARACTER")
    return found


def data(field):
    """What SQL has (None, too) as bytes."""
    return (field or "").encode()
