"""What tests of the account store share: a domain in temporary homes, accounts to put in."""
import os
import sys

from pyqmail.base import cdb
from pyqmail.base import home as qmailhome
from pyqmail.vpopmail import assign, database, database_url, home, onchange
from pyqmail.vpopmail.accounts import Account

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UID, GID = os.getuid() or 65534, os.getgid() or 65534


def make_site(place, monkeypatch):
    """QMAILHOME and VPOPHOME in the directory `place` (str), with a domain example.com that has no accounts and no back
    end of its own choice; the Domain."""
    vpop, q = os.fsencode(place) + b"/vpop", os.fsencode(place) + b"/q"
    directory = vpop + b"/domains/example.com"
    for path in (directory, vpop + b"/etc", vpop + b"/db", q + b"/users", q + b"/control", q + b"/run"):
        os.makedirs(path)
    for path in (vpop, vpop + b"/domains", vpop + b"/etc", vpop + b"/db", directory):
        os.chown(path, UID, GID)
    put(directory + b"/.qmail-default", b"| %b/bin/vdelivermail '' bounce-no-mailbox\n" % vpop)
    put(vpop + b"/options", b"password-hash md5\nclear-passwd yes\nlogin-failures 0\n")
    put(vpop + b"/etc/vlimits.default", b"")
    with open(q + b"/users/cdb", "w+b") as f:
        cdb.write(f.fileno(), [(b"!example.com-", b"example.com\0%d\0%d\0%b\0-\0" % (UID, GID, directory)), (b"", b"-")])
    put(q + b"/users/assign", b"+example.com-:example.com:%d:%d:%b:-::\n.\n" % (UID, GID, directory))
    monkeypatch.setattr(qmailhome, "HOME", os.fsdecode(q))
    monkeypatch.setattr(sys, "argv", ["prog"])
    monkeypatch.setattr(onchange, "_told", [])
    monkeypatch.chdir(place)
    home.use(vpop, UID, GID)
    return assign.find(b"example.com")


def use(server):
    """Let accounts be in that PostgreSQL, which has none yet."""
    database_url.write(server.url)
    database.prepare()
    with database.transaction() as connection:
        for table in database.TABLES.sorted_tables:
            connection.execute(table.delete())


def put(path, text):
    with open(path, "wb") as f:
        f.write(text)


def some(name, **more):
    """An Account."""
    return Account(name, **{"hash": b"$1$abcdefgh$x", "directory": b"/d/" + name, "comment": name, **more})


class Quiet:
    """A progress bar for nobody."""

    def __init__(self, total):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        pass

    def add(self, number=1):
        pass
