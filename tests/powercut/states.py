"""What programs have changed, as it lies on the disk: look(world, what, name) gives what each place that knows of it
says, {place: value}. A place says the value of the ledger, or the hash of the password that is the value."""
import os
import re
import sqlite3

from pyqmail.auth import hashes
from pyqmail.base import cdb
from pyqmail.queue import suspects
from tests.powercut import world
from tests.powercut.ledger import WAITING

GENERATION = re.compile(rb"GENERATION=(\d+)")


def contents(path):
    with open(path, "rb") as f:
        return f.read()


def there(path):
    """The contents of a file, b"" if there is none."""
    try:
        return contents(path)
    except FileNotFoundError:
        return b""


def initially(what, name):
    """The value before the load."""
    if what in ("rules", "morercpthosts"):
        return 0
    user, _, domain = name.partition("@")
    return world.PASSWORD if what == "account" and domain == world.VIRTUAL and user in world.RECEIVERS else None


def look(place, what, name):
    """Raises OSError, Temporary, sqlite3.Error for what cannot be read: then it is lost."""
    return {"account": account, "domain": domain, "alias domain": alias_domain, "assignment": assignment,
            "alias": alias, "rules": rules, "morercpthosts": morercpthosts, "held": held}[what](place, name)


def fits(value, said):
    """True if a place says that value."""
    if value == said:
        return True
    return isinstance(value, str) and isinstance(said, bytes) and hashes.matches(value.encode(), said)


# ---------------------------------------------------------------- accounts

def account(place, name):
    user, _, domain = name.partition("@")
    if domain == world.IN_SQL:
        return {"SQL": in_sql(place, user, domain)}
    directory = f"{place.vpop}/domains/{domain}"
    line = re.search(rb"^%b:([^:]*):" % user.encode(), contents(f"{directory}/vpasswd"), re.MULTILINE)
    record = cdb.find(f"{directory}/vpasswd.cdb", user.encode())
    return {"vpasswd": line and line[1], "vpasswd.cdb": record and re.search(rb"\$1\$[^\0:]+", record)[0]}


def in_sql(place, user, domain):
    connection = sqlite3.connect(f"file:{place.database}?mode=rw", uri=True)
    try:
        rows = connection.execute("select pw_passwd from vpopmail where pw_name = ? and pw_domain = ?", (user, domain))
        found = rows.fetchone()
        return found and found[0].encode()
    finally:
        connection.close()


# ---------------------------------------------------------------- domains

def in_lists(place, name, real):
    """What qmail knows of a domain."""
    def has(path, line):
        return line.encode() in contents(f"{place.home}/{path}").split(b"\n") or None
    assigned = re.search(rb"^\+%b-:%b:" % (name.encode(), real.encode()), contents(f"{place.home}/users/assign"),
                         re.MULTILINE)
    return {"virtualdomains": has("control/virtualdomains", f"{name}:{name}"),
            "rcpthosts": has("control/rcpthosts", name), "users/assign": assigned and True,
            "users/cdb": in_cdb(place, f"!{name}-")}


def in_cdb(place, key):
    return cdb.find(f"{place.home}/users/cdb", key.encode()) is not None or None


def domain(place, name):
    directory = f"{place.vpop}/domains/{name}"
    return {**in_lists(place, name, name), "its directory": os.path.exists(directory) or None,
            "its first user": b"postmaster:" in there(f"{directory}/vpasswd") or None,
            ".qmail-default": bool(there(f"{directory}/.qmail-default")) or None}


def alias_domain(place, name):
    return in_lists(place, name, world.VIRTUAL)


def assignment(place, name):
    return {"users/cdb": in_cdb(place, f"!{name}\0")}


def alias(place, name):
    text = there(f"{place.vpop}/domains/{world.VIRTUAL}/.qmail-{name}")
    return {".qmail file": text.decode().removesuffix("\n") or None}


# ---------------------------------------------------------------- tables

def rules(place, name):
    path = f"{place.home}/control/{name}"
    found = GENERATION.search((os.path.exists(path) and cdb.find(path, b"10.")) or b"")
    return {name: int(found[1]) if found else 0}


def morercpthosts(place, name):
    path = f"{place.home}/control/morercpthosts.cdb"
    found = re.search(rb"generation-(\d+)\.example", there(path))
    return {"morercpthosts.cdb": int(found[1]) if found and cdb.find(path, found[0]) is not None else 0}


# ---------------------------------------------------------------- the queue

def queued(place, number):
    """The queue's number of a message that waits; None if it does not."""
    for path, _, names in os.walk(f"{place.home}/queue/info"):
        for name in names:
            if there(f"{path}/{name}").startswith(f"F{WAITING}{number}@".encode()):
                return int(name)
    return None


def settled(place, number):
    """True once all that does not wait of a message is done."""
    found = queued(place, number)
    if found is None or os.path.exists(f"{place.home}/queue/todo/{found}"):
        return False
    return all(b"Tnobody" not in there(f"{path}/{found}") for path, _, _ in os.walk(f"{place.home}/queue/local"))


def held(place, name):
    """name: the number of a message. One that is gone is held no more."""
    found = queued(place, int(name))
    return {"the list of those held": (found is not None and found in set_aside(place.home)) or None}


def set_aside(home):
    """The queue's numbers of the messages that qmail-send leaves alone."""
    return suspects.set_aside(suspects.File(f"{home}/{suspects.DIRECTORY}").read())
