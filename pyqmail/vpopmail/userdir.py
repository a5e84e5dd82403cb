"""A user's own directory: where it is, making it again, and `lastauth` in it (or in SQL, where the accounts are there).

Everything is done with the rights of the domain's owner (see place.py), whoever runs the program.
"""
import os

from ..base import maildir
from ..base.errors import Temporary
from . import accounts, home
from .errors import Refused
from .place import Inside, within


def note(domain, account, ip):
    """Note in USER/lastauth from where and, by its mtime, when the user logged in. That it may not work changes
    nothing."""
    if not home.enabled(b"auth-logging"):
        return
    try:
        store = accounts.store(domain)
        if store.logins:
            return store.note_login(account.name, ip)
        with Inside(domain):
            path = within(domain, directory_of(domain, account)) + b"/lastauth"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            try:
                os.ftruncate(fd, 0)
                os.write(fd, ip)
                os.utime(fd)
            finally:
                os.close(fd)
    except (OSError, Temporary, Refused):
        pass


def last(domain, account):
    """(seconds, ip) of the last login, None if there was none. Raises OSError, Temporary."""
    store = accounts.store(domain)
    if store.logins:
        return store.last_login(account.name)
    return noted(domain, account)


def noted(domain, account):
    """(seconds, ip) of the file lastauth, None if it is not there. Raises OSError."""
    with Inside(domain):
        path = within(domain, directory_of(domain, account)) + b"/lastauth"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return int(os.fstat(fd).st_mtime), os.read(fd, 100)
        finally:
            os.close(fd)


def directory_of(domain, account):
    """The user's directory; one that has none in its record has the usual one."""
    return account.directory.rstrip(b"/") or b"%b/%b" % (domain.directory, account.name)


def make(domain, account):
    """The user's directory, made anew with its Maildir if it is not there. Raises OSError, Temporary."""
    directory = directory_of(domain, account)
    with Inside(domain):
        path = within(domain, directory)
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
            maildir.make(path + b"/Maildir")
    return directory
