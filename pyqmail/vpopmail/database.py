"""The SQL database of accounts: SQLAlchemy's door, and vpopmail's tables.

    fetch(statement, values)            the rows
    with transaction() as connection:   connection.execute(...); all of it or nothing
    prepare()                           makes the tables that are missing

One pool of connections for each process: a forked one makes its own, and so does everyone when etc/vpopmail.sql
changes. A connection that was idle for a while is tried before it is used, so a database that was away is used again
when it is back; connecting and asking take a bounded time. What is only read is read outside of a transaction, which
saves two ways to the database each time. Whatever goes wrong is Temporary, but Duplicate for a key that is there
already. Files of SQLite, and etc/vpopmail.sql, are opened with vpopmail's rights where root asks.

Known are PostgreSQL and SQLite. The driver for PostgreSQL is psycopg: the C library below it bounds the time of a
connection that has died without a word (tcp_user_timeout), which a driver in Python leaves to the kernel's quarter of
an hour. Tables as vpopmail's PostgreSQL module has them; some columns are wider (hashes and addresses have grown).
"""
import os
import time
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import BigInteger, Column, Integer, String, Table
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ..base import prot
from ..base.errors import Temporary
from . import database_url, home, names

CONNECT, ANSWER = 10, 30                # s to wait for a connection, for an answer
IDLE = 1                                # s; a connection that was not used for so long is tried first
POSTGRES = {"connect_timeout": CONNECT, "application_name": "pyqmail", "tcp_user_timeout": 1000 * ANSWER,
            "options": f"-c statement_timeout={1000 * ANSWER} -c lock_timeout={1000 * ANSWER}"}

TABLES = sqlalchemy.MetaData()
ACCOUNTS = Table(
    "vpopmail", TABLES,
    Column("pw_name", String(64), primary_key=True), Column("pw_domain", String(names.DOMAIN), primary_key=True),
    Column("pw_passwd", String(names.HASH)), Column("pw_uid", Integer), Column("pw_gid", Integer),
    Column("pw_gecos", String(64)), Column("pw_dir", String(names.DIRECTORY)), Column("pw_shell", String(names.QUOTA)),
    Column("pw_clear_passwd", String(names.PASSWORD)), sqlalchemy.Index("vpopmail_pw_domain", "pw_domain"))
LEVELS = [f"level_{kind}{number}" for kind in ("start", "end", "mod", "index") for number in range(3)]
DIRECTORIES = Table(
    "dir_control", TABLES, Column("domain", String(names.DOMAIN), primary_key=True), Column("cur_users", Integer),
    Column("level_cur", Integer), Column("level_max", Integer), *(Column(name, Integer) for name in LEVELS),
    Column("the_dir", String(names.DIRECTORY)))
LOGINS = Table(
    "lastauth", TABLES, Column("userid", String(64), primary_key=True),
    Column("domain", String(names.DOMAIN), primary_key=True), Column("remote_ip", String(39), nullable=False),
    Column("timestamp", BigInteger, nullable=False, server_default="0"))
_pool = {}


class Duplicate(Exception):
    """There is such a key already."""


def count(column):
    return sqlalchemy.func.count(column)


def value(name):
    """What a statement is told when it is executed."""
    return sqlalchemy.bindparam(name)


def fetch(statement, values=None):
    """The rows of a select. Raises Temporary."""
    with telling(), engines()[0].connect() as connection:
        return connection.execute(statement, values or {}).fetchall()


@contextmanager
def transaction():
    """with transaction() as connection: what is executed on it holds from the end of the block on. Raises Temporary,
    Duplicate."""
    with telling(), engines()[1].begin() as connection:
        yield connection


@contextmanager
def telling():
    """With vpopmail's rights; SQLAlchemy's errors become ours."""
    try:
        with prot.Acting(*home.ids()):
            yield
    except IntegrityError:
        raise Duplicate from None
    except SQLAlchemyError as why:
        raise Temporary(f"accounts in SQL: {told(why)}") from None


def told(why):
    """One line about an error; never what was asked, for that has hashes in it."""
    text = str(getattr(why, "orig", None) or why).strip()
    return text.partition("\n")[0] or type(why).__name__


def prepare():
    """Make the tables that are missing, for SQLite the file, too. Raises Temporary."""
    mask = os.umask(0o077)
    try:
        with telling():
            engine = make(url(), "rwc")
            TABLES.create_all(engine)
            engine.dispose()
    finally:
        os.umask(mask)


def engines():
    """(engine to read with, engine to change with) of this process, one pool for both. Raises Temporary."""
    found = database_url.find()
    key = os.getpid(), found
    if _pool.get("key") != key:
        if "engine" in _pool:           # connections that a parent has, too, are not ours to close
            _pool["engine"].dispose(close=_pool["key"][0] == key[0])
        _pool.clear()
        engine = make(url(), "rw")
        _pool["engine"], _pool["key"] = engine, key
        if engine.dialect.name == "sqlite":
            _pool["pair"] = engine, engine.execution_options(changes=True)
        else:
            _pool["pair"] = engine, engine.execution_options(isolation_level="READ COMMITTED")
    return _pool["pair"]


def url():
    """The URL that etc/vpopmail.sql gives. Raises Temporary."""
    found = database_url.find()
    if found is None:
        raise Temporary(f"no {os.fsdecode(database_url.path())}: see vpopmail-sql(5)")
    return database_url.read(found[0])


def make(text, mode):
    """An engine for a URL. mode: how SQLite opens its file; rwc makes it. Raises Temporary, SQLAlchemyError."""
    parsed = sqlalchemy.make_url(text)
    common = {"poolclass": sqlalchemy.QueuePool, "pool_size": 1, "max_overflow": 1, "pool_timeout": ANSWER,
              "hide_parameters": True}
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        try:
            engine = sqlalchemy.create_engine(
                parsed.set(drivername="postgresql+psycopg"), connect_args=POSTGRES, isolation_level="AUTOCOMMIT",
                skip_autocommit_rollback=True, **common)
        except ImportError as why:
            raise Temporary(f"accounts in SQL: {why}; qmailctl vpopmail --sql installs it") from why
        try_idle(engine)
        return engine
    if kind != "sqlite" or not (parsed.database or "").startswith("/"):
        raise Temporary("accounts in SQL: neither postgresql:// nor sqlite:////PATH")
    return sqlite(parsed.database, mode, common)


def try_idle(engine):
    """Whoever takes a connection that was idle from the pool tries it first; one that is dead is made anew."""
    @sqlalchemy.event.listens_for(engine, "checkin")
    def checkin(connection, record):
        record.info["used"] = time.monotonic()

    @sqlalchemy.event.listens_for(engine, "checkout")
    def checkout(connection, record, proxy):
        if time.monotonic() - record.info.get("used", time.monotonic()) < IDLE:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as why:
            raise sqlalchemy.exc.DisconnectionError() from why


def sqlite(name, mode, common):
    """An engine for a file of SQLite: who will change something takes the lock when he begins."""
    import sqlite3
    from urllib.parse import quote

    def connect():
        found = sqlite3.connect(f"file:{quote(name)}?mode={mode}", uri=True, timeout=ANSWER, isolation_level=None)
        found.execute("PRAGMA synchronous = EXTRA")     # else a power cut may bring back the journal of what was done
        return found
    engine = sqlalchemy.create_engine("sqlite://", creator=connect, **common)

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection):
        if connection.get_execution_options().get("changes"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    return engine
