"""Making, changing and removing the users of a domain: account, directories, Maildir, quota.

A user's directory is made before the account and removed after it, so whoever finds the account finds a place
for its mail; a directory that a crash left over is told of (EXIST_U_DIR) and not used for somebody else's mail.
"""
import os

from ..base import errors, maildir, netio
from . import accounts, assign, files, hashdirs, home, limits, names, onchange, passwords, quotas
from .errors import Refused
from .place import Inside, within

NEVER = b"0.0.0.0"                      # lastauth of a user who never logged in
PRIVATE = 0o600


def find_domain(name):
    """The Domain of that name. Raises Refused DOMAIN_DOES_NOT_EXIST."""
    found = assign.find(name)
    if found is None:
        raise Refused("DOMAIN_DOES_NOT_EXIST")
    return found


def check_name(user):
    """Raises Refused for a name that no user may have."""
    if len(user) > names.USER:
        raise Refused("USER_NAME_TOO_LONG")
    if not names.valid_user(user) or user.startswith(b".") or (len(user) == 1 and home.enabled(b"users-big-dir")):
        raise Refused("ILLEGAL_USERNAME")


def check_fields(clear=b"", comment=b"", hash=b""):
    """Raises Refused for what no record can hold."""
    if len(clear) > names.PASSWORD:
        raise Refused("PASSWD_TOO_LONG")
    if len(comment) > names.COMMENT:
        raise Refused("GECOS_TOO_LONG")
    if len(hash) > names.HASH or b":" in hash or b"\n" in hash + comment + clear:
        raise Refused("BAD_CHARACTER")


def add(domain, user, clear=b"", comment=None, quota=None, hash=None):
    """Make a user. clear: the password, empty for none; hash: stored as it is, in place of the password.
    Returns the Account. Raises Refused, Temporary, OSError."""
    comment = user if comment is None else comment
    check_name(user)
    check_fields(clear, comment, hash or b"")
    if b":" in comment:
        raise Refused("BAD_CHARACTER")
    hashed = passwords.make(clear) if hash is None else hash
    store = accounts.store(domain)
    if store.get(user) is not None:
        raise Refused("USERNAME_EXISTS")
    quota = limits.get(domain).default_quota() if quota is None else quota
    with Inside(domain):
        directory = make_directories(user)
    account = accounts.Account(user, hashed, 1, 0, comment, b"%b/%b" % (domain.directory, directory), quota,
                               passwords.kept(clear) if hash is None else b"")
    try:
        store.add(account)
    except BaseException:
        with Inside(domain):
            remove_tree(directory)
        raise
    if quotas.limits(quota):
        quotas.apply(domain, account)
    write_sqwebmail(domain, account)
    onchange.tell(b"add_user", b"%b@%b" % (user, domain.real))
    return account


def make_directories(user):
    """[HASH/]USER with its Maildir below the current directory; the name. Raises Refused EXIST_U_DIR, MD_FAILED."""
    place = hashdirs.add() if home.enabled(b"users-big-dir") else b""
    directory = b"%b/%b" % (place, user) if place else user
    try:
        if place:
            os.makedirs(place, 0o700, exist_ok=True)
        os.mkdir(directory, 0o700)
    except FileExistsError:
        raise Refused("EXIST_U_DIR") from None
    try:
        maildir.make(directory + b"/Maildir")
        if home.enabled(b"auth-logging"):
            files.write(directory + b"/lastauth", NEVER, PRIVATE)
    except OSError as why:
        remove_tree(directory)
        raise Refused("MD_FAILED") from why
    return directory


def delete(domain, user):
    """Remove a user and his mail. Raises Refused USER_DOES_NOT_EXIST, CANT_DELETE_CATCHALL, ILLEGAL_USERNAME."""
    if not user:
        raise Refused("ILLEGAL_USERNAME")
    store = accounts.store(domain)
    account = store.get(user)
    if account is None:
        raise Refused("USER_DOES_NOT_EXIST")
    if is_catchall(domain, account):
        raise Refused("CANT_DELETE_CATCHALL")
    onchange.tell(b"del_user", b"%b@%b" % (user, domain.real))
    store.delete(user)
    with Inside(domain):
        path = within(domain, account.directory)
        if home.enabled(b"users-big-dir"):
            hashdirs.remove(os.path.dirname(path) if not path.startswith(b"/") else b"")
        if path and path.strip(b"./") and b".." not in path.split(b"/"):
            remove_tree(path)
            if os.path.lexists(path):   # something in it is not the owner's
                errors.say(b"Warning: Failed to delete directory tree: ", account.directory)


def remove_tree(path):
    """Remove a directory with everything in it, as far as that is possible."""
    import shutil                       # 10 ms that adding a user does without
    shutil.rmtree(path, ignore_errors=True)


def is_catchall(domain, account):
    """True if mail for unknown users goes to this account, by its directory or its address."""
    with Inside(domain):
        words = (files.read(b".qmail-default") or b"").split()
    if not words:
        return False
    last = words[-1].strip(b"'\"").rstrip(b"/")
    target = last.removesuffix(b"/Maildir")
    return target == account.directory.rstrip(b"/") or last.lower() in (
        b"%b@%b" % (account.name, domain.real), b"%b@%b" % (account.name, domain.name), b"&%b@%b" % (
            account.name, domain.real))


def change_password(domain, user, clear):
    """Give a user another password. Raises Refused USER_DOES_NOT_EXIST and others."""
    check_fields(clear)
    hashed, kept = passwords.make(clear), passwords.kept(clear)

    def change(account):
        account.hash, account.clear = hashed, kept
    store = accounts.store(domain)
    store.change(user, change)
    write_sqwebmail(domain, store.get(user))
    onchange.tell(b"mod_user", b"%b@%b" % (user, domain.real))


def write_sqwebmail(domain, account):
    """Maildir/sqwebmail-pass, where an old webmail looks for the hash."""
    if home.enabled(b"sqwebmail-pass"):
        with Inside(domain):
            files.replace(within(domain, account.directory) + b"/Maildir/sqwebmail-pass", b"\t%b\n" % account.hash,
                          PRIVATE)


def last_login(domain, account):
    """(time, address) of lastauth; None if it is not there. The address of one who never came is NEVER."""
    with Inside(domain):
        path = within(domain, account.directory) + b"/lastauth"
        try:
            return int(os.stat(path).st_mtime), netio.read_file(path, 100).strip()
        except FileNotFoundError:
            return None
