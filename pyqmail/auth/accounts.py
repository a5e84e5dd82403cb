"""Whose login is it: system accounts, or the one user of a private home.

Never: uid 0, an unknown or locked account, an account without password, an empty password, an
expired account. The login shell does not matter: mail is no shell access; an account that must
not read mail is locked or expired. A refused name costs the time of a wrong password.
"""
import os
import time

from ..base import accounts
from ..base.errors import Temporary
from . import accounts_pam, failures, hashes, poppasswd, shadow

NOBODY = b"*"                       # no account has this name: PAM treats it as an unknown user


class Account:
    """name, home, shell: bytes; uid, gid: int."""

    def __init__(self, name, uid, gid, home, shell):
        self.name, self.uid, self.gid, self.home, self.shell = name, uid, gid, home, shell


def login(name, password, ip=b""):
    """authenticate(), and a failure is counted for the name and for the address `ip` (bytes, b"" if unknown).

    Raises failures.TooMany, in the time of a comparison, where too many were; Temporary.
    """
    if failures.too_many(name, ip):
        spend(password)
        raise failures.TooMany
    account = authenticate(name, password)
    if account is None:
        failures.note(name, ip)
    return account


def spend(password):
    """Take the time of authenticate() for a name that nobody has. Raises Temporary."""
    if accounts.private():
        hashes.spend(password)
    else:
        of_system(NOBODY, password, None, b"")


def authenticate(name, password):
    """The Account that `name` and `password` (bytes) belong to, None if they do not fit.

    Raises Temporary when that cannot be told now.
    """
    alone = accounts.private()
    if alone:
        return of_private_home(name, password, alone[0])
    if os.geteuid() != 0:
        raise Temporary("checkpassword must be run by root")
    account, field = lookup(name)
    return of_system(name, password, account, field)


def lookup(name):
    """(Account, password field) of a system account; (None, b"") if there is none of this name."""
    import pwd                      # not needed to refuse a malformed login
    try:
        found = pwd.getpwnam(os.fsdecode(name))
    except (KeyError, ValueError):
        return None, b""
    return made_of(found), os.fsencode(found.pw_passwd)


def made_of(found):
    return Account(os.fsencode(found.pw_name), found.pw_uid, found.pw_gid, os.fsencode(found.pw_dir),
                   os.fsencode(found.pw_shell))


def of_system(name, password, account, field, *, shadow_file=shadow.PATH, verify=accounts_pam.verify, today=None):
    """authenticate() for a system account. field: the password field of /etc/passwd, "x" or a hash."""
    entry, kind = shadow.find(name, shadow_file)
    stored = entry.hash if entry else field
    barred = account is None or account.uid == 0 or not password or not stored
    barred = barred or entry is not None and not hashes.usable(stored)
    try:
        accepted = verify(NOBODY if barred else name, password)
        if barred:
            hashes.spend(password, kind)        # PAM compares nothing for a name that it does not know
    except accounts_pam.Unavailable:
        today = int(time.time()) // 86400 if today is None else today
        accepted = by_hash(password, b"" if barred else stored, kind) and not (entry and entry.expired(today))
    return account if accepted and not barred else None


def of_private_home(name, password, uid, *, file=None):
    """authenticate() where users/poppasswd is asked: only the user `uid` himself is known."""
    import pwd                      # not needed to refuse a malformed login
    try:
        account = made_of(pwd.getpwuid(uid))
    except KeyError:
        raise Temporary(f"no account with uid {uid}") from None
    known = uid != 0 and name == account.name
    accepted = by_hash(password, poppasswd.find(account.name, uid, file) if known else b"", b"")
    return account if accepted and known else None


def by_hash(password, stored, kind):
    """hashes.matches(), in the same time for a hash that nothing matches."""
    if not password or not hashes.usable(stored):
        hashes.spend(password, kind)
        return False
    return hashes.matches(password, stored)
