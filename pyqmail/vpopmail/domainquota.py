"""The quota of a whole domain: `quota` (MB) and `maxmsgcount` in its limits file, where VPOPHOME/options wants them.

What the domain holds is the sum over its users, of maildirsize where a Maildir has one and of its messages where
not: every delivery looks at every Maildir, which is for domains of some hundred users.
"""
from ..base import maildirsize
from . import accounts, limits, userdir

MEGABYTE = 1 << 20


def admits(domain, size):
    """True if a message of `size` bytes more still fits. Raises Refused, Temporary, OSError."""
    numbers = limits.get(domain).numbers
    quota = maildirsize.Quota(max(0, numbers[b"quota"]) * MEGABYTE, max(0, numbers[b"maxmsgcount"]))
    return not quota or quota.admits(held(domain), size, 1)


def held(domain):
    """The Usage of all users together."""
    whole = maildirsize.Usage()
    for account in accounts.store(domain).all():
        found = in_maildir(userdir.directory_of(domain, account) + b"/Maildir")
        whole.bytes += found.bytes
        whole.count += found.count
    return whole


def in_maildir(directory):
    """The Usage of one Maildir; nothing where there is none."""
    try:
        known = maildirsize.read(directory)
        return known[1] if known else maildirsize.count(directory)
    except (FileNotFoundError, NotADirectoryError):
        return maildirsize.Usage()
