"""Whether a domain has somebody to take mail for a name: what a server asks before it accepts a recipient.

The answer is what a delivery would find: a .qmail-NAME file of the domain (also the -default ones), the account, or
a .qmail-default that takes what nobody else does.
"""
from ..delivery.dotqmail import names as files_of
from . import accounts, assign, files, flags, home, names
from .place import Inside

DEFAULT = b".qmail-default"
BOUNCE = b"bounce-no-mailbox"


def known(address):
    """True if mail for `address` has somebody to go to; None if its domain is none of ours. Raises BadName, Temporary,
    OSError."""
    user, host = names.parse(address)
    domain = assign.find(host) if host else None
    if domain is None:
        return None
    if not user:
        return False
    return has_file(domain, user) or has_account(domain, user) or takes_all(domain)


def has_account(domain, user):
    """True for an account that takes mail; with the option qmail-ext, for joe-list if there is joe."""
    store = accounts.store(domain)
    while True:
        account = store.get(user)
        if account is not None:
            return not account.flags & flags.BOUNCE_MAIL
        user, dash, _ = user.rpartition(b"-")
        if not dash or not user or not home.enabled(b"qmail-ext"):
            return False


def has_file(domain, user):
    """True if a .qmail file of the domain is about this name (and not about every one)."""
    with Inside(domain):
        return any(name != DEFAULT and files.read(name) is not None for name, _ in files_of(b"-", user))


def takes_all(domain):
    """True if the domain's .qmail-default does something else with unknown names than refusing them."""
    with Inside(domain):
        lines = (files.read(DEFAULT) or b"").split(b"\n")
    lines = [line.strip() for line in lines if line.strip() and not line.startswith(b"#")]
    return any(not line.startswith(b"|") or b"vdelivermail" not in line or line.split()[-1].strip(b"'\"") != BOUNCE
               for line in lines)
