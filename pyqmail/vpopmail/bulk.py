"""Making many users of a domain at once.

In batches, each of which is in the store as a whole or not at all. Places are given and counted as if the users were
made one after the other. A batch's directories are made after it was stored: those of users whom a kill left without
are made with their first mail or login, as any that is missing. The same file again does the rest.
"""
import os

from ..base import maildir
from . import accounts, files, hashdirs, home, limits, onchange, passwords, quotas, users
from .errors import Refused
from .place import Inside, within

BATCH = 10_000


class Wanted:
    """A user to be made. Everything bytes; hash None: made of clear; comment and quota None: the usual ones."""

    __slots__ = ("name", "clear", "hash", "comment", "quota")

    def __init__(self, name, clear=b"", hash=None, comment=None, quota=None):
        self.name, self.clear, self.hash, self.comment, self.quota = name, clear, hash, comment, quota


def add(domain, wanted, bar):
    """Make users (a list of Wanted). bar.add(number) hears how many were looked at. Yields (name, Refused) for each
    that was not made. Raises Temporary, OSError."""
    store = accounts.store(domain)
    quota = limits.get(domain).default_quota()
    for start in range(0, len(wanted), BATCH):
        yield from add_batch(domain, store, wanted[start:start + BATCH], quota, bar)


def add_batch(domain, store, wanted, quota, bar):
    known, new = set(store.names()), []
    for each in wanted:
        try:
            new.append(account(each, quota, known))
        except Refused as why:
            bar.add()
            yield each.name, why
    with Inside(domain):
        new, taken = with_places(domain, new, store)
    taken = [(each, "EXIST_U_DIR") for each in taken]
    there = set(store.add_many(new)) if new else ()
    taken += [(each, "USERNAME_EXISTS") for each in new if each.name in there]
    for each, why in taken:
        bar.add()
        yield each.name, Refused(why)
    finish(domain, store, [each for each in new if each.name not in there], bar)


def account(wanted, quota, known):
    """The Account of a Wanted, its directory still without a place; the name becomes one of the known ones. Raises
    Refused."""
    users.check_name(wanted.name)
    comment = wanted.name if wanted.comment is None else wanted.comment
    users.check_fields(wanted.clear, comment, wanted.hash or b"")
    if b":" in comment:
        raise Refused("BAD_CHARACTER")
    if wanted.name in known:
        raise Refused("USERNAME_EXISTS")
    hashed = passwords.make(wanted.clear) if wanted.hash is None else wanted.hash
    known.add(wanted.name)
    return accounts.Account(wanted.name, hashed, 1, 0, comment, wanted.name,
                            quota if wanted.quota is None else quotas.normal(wanted.quota),
                            passwords.kept(wanted.clear) if wanted.hash is None else b"")


def with_places(domain, new, store):
    """(accounts with their directories, accounts whose directory is there already). In the domain's directory."""
    if not new:
        return [], []
    big = home.enabled(b"users-big-dir")
    places = hashdirs.add_many(len(new), store.directories) if big else [b""] * len(new)
    for place in set(places) - {b""}:
        os.makedirs(place, 0o700, exist_ok=True)
    free, taken = [], []
    for each, place in zip(new, places):
        directory = b"%b/%b" % (place, each.name) if place else each.name
        (taken if os.path.lexists(directory) else free).append(each)
        each.directory = b"%b/%b" % (domain.directory, directory)
    return free, taken


def finish(domain, store, new, bar):
    """What new users have beside their accounts."""
    note = home.enabled(b"auth-logging")
    with Inside(domain):
        for each in new:
            make_directory(within(domain, each.directory), note and not store.logins)
            bar.add()
    if note and store.logins:
        store.note_logins([(each.name, users.NEVER, None) for each in new])
    for each in new:
        if quotas.limits(each.quota):
            quotas.apply(domain, each)
        users.write_sqwebmail(domain, each)
        onchange.tell(b"add_user", b"%b@%b" % (each.name, domain.real))


def make_directory(path, note):
    """USER with its Maildir and lastauth, unless the first mail has made it already."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    maildir.make(path + b"/Maildir")
    if note:
        users.note_never(path)


def read(path, hashed, quota=None):
    """The list of Wanted of a file with lines NAME:PASSWORD[:COMMENT[:QUOTA]]; with tabs in place of colons, a password
    may have a colon. hashed: the second field is a hash. quota: of those who have none of their own."""
    from ..base import netio                # only here
    found = []
    for line in netio.read_file(path, files.LARGEST).split(b"\n"):
        line = line.removesuffix(b"\r")
        if not line or line.startswith(b"#"):
            continue
        name, secret, comment, own = (line.split(b"\t" if b"\t" in line else b":", 3) + [b""] * 3)[:4]
        found.append(Wanted(name.lower(), b"" if hashed else secret, secret if hashed or not secret else None,
                            comment or None, own or quota))
    return found
