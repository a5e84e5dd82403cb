"""Moving a domain's accounts from one back end to the other.

Accounts are copied in batches while the domain works on as before; then, while nobody may change an account, what has
changed meanwhile is copied, every account is compared both ways, and DOMAIN/.accounts changes: until then the old
store is the truth, from then on the new one. A kill at any point leaves one of these, and the same command goes on
where it was. The old store is emptied last, for a copy of passwords that nobody looks at is none that anybody guards.
"""
import os
from contextlib import contextmanager

from ..base.errors import Permanent
from . import accounts, backend, files, hashdirs, userdir, users
from .errors import Refused
from .place import Inside, within

BATCH = 1000
SHOWN = 10                              # names in a message


class Different(Permanent):
    """The new store does not hold what the old one holds."""


def move(domain, target, bar_of):
    """Move the domain to `target`, CDB or SQL; nothing if it is there. bar_of(number) gives a progress bar. Raises
    Different, Permanent for what cannot be moved, Temporary, OSError."""
    kind = backend.of(domain)
    old = accounts.in_backend(domain, backend.CDB if target == backend.SQL else backend.SQL)
    if kind != target:
        if not backend.may_be_in_sql(domain):
            raise Permanent("only vpopmail's own domains can be in SQL")
        new = accounts.in_backend(domain, target)
        found = by_name(old.all())
        refuse_unmovable(found, new)
        with bar_of(2 * len(found)) as bar:
            new.prefill(found, bar.add)
            copy_logins(domain, old, new, found.values(), bar)
        with alone(domain, kind):
            finish(domain, old, new)
    elif not backend.unfinished(domain):
        return
    with Inside(domain):
        old.forget()
        backend.choose(target)


def finish(domain, old, new):
    """While nobody changes anything: the rest of the accounts, the proof, and the change to the new store."""
    found = by_name(old.all())
    new.replace_all(found.values())
    different = differences(found, by_name(new.all()))
    if different:
        shown = b", ".join(different[:SHOWN]) + (b", ..." if len(different) > SHOWN else b"")
        raise Different(f"{len(different)} accounts differ: {os.fsdecode(shown)}")
    with Inside(domain), files.Locked(hashdirs.LOCK):
        new.directories.write(*hashdirs.read(old.directories))
        backend.choose(new.kind, unfinished=True)


@contextmanager
def alone(domain, kind):
    """Nobody changes an account of the domain, which is in `kind`."""
    changing = backend.Changing(domain, kind)
    with Inside(domain):
        changing.__enter__()
    try:
        yield
    finally:
        changing.__exit__()


def by_name(found):
    """{name: Account}; of several with one name the first, as look-ups have it."""
    return {account.name: account for account in reversed(list(found))}


def differences(one, other):
    """The names that are not the same in both, sorted."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def refuse_unmovable(found, new):
    """Raises Permanent if the new store cannot hold one of the accounts as it is."""
    bad = []
    for name, account in found.items():
        try:
            new.check(account)
        except Refused:
            bad.append(name)
    if bad:
        raise Permanent(f"cannot be moved as they are: {os.fsdecode(b', '.join(sorted(bad)[:SHOWN]))}")


def copy_logins(domain, old, new, found, bar):
    """Last logins, as far as they can be read: from files lastauth to rows, or back."""
    if old.logins:
        known = old.all_logins()
        for account in found:
            bar.add()
            if account.name in known:
                write_login(domain, account, *known[account.name])
        return
    batch = []
    for account in found:
        bar.add()
        noted = userdir.noted(domain, account)
        if noted:
            batch.append((account.name, noted[1], noted[0]))
        if len(batch) == BATCH:
            new.note_logins(batch)
            batch.clear()
    if batch:
        new.note_logins(batch)


def write_login(domain, account, seconds, ip):
    """Make lastauth, unless it says so already. A directory that is not there is made with the first mail, without
    it."""
    if userdir.noted(domain, account) == (seconds, ip):
        return                              # moved there and back: to replace a file's contents costs a write at once
    with Inside(domain):
        path = within(domain, userdir.directory_of(domain, account)) + b"/lastauth"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, users.PRIVATE)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            os.write(fd, ip)
            os.utime(fd, (seconds, seconds))
        finally:
            os.close(fd)
