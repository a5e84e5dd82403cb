"""Making, changing and removing the users of a domain: account, directories, Maildir, quota.

A new user's directory is made under another name, .new.USER, and takes its own right after the account was put in
the store; that of one who goes becomes .gone.USER before his account is deleted. So a crash leaves nothing in the way
of the same command, and no mail for another user of that name; an account without its directory gets it with its
first mail or login.
"""
import os

from ..base import errors, maildir, netio
from . import accounts, assign, files, hashdirs, home, limits, names, onchange, passwords, quotas
from .errors import Refused
from .place import Inside, within

NEVER = b"0.0.0.0"                      # lastauth of a user who never logged in
PRIVATE = 0o600
NEW, GONE = b".new.", b".gone."         # no user's name starts with a dot


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
        directory = make_directories(user, store)
    account = accounts.Account(user, hashed, 1, 0, comment, b"%b/%b" % (domain.directory, directory), quota,
                               passwords.kept(clear) if hash is None else b"")
    try:
        store.add(account)
        if store.logins and home.enabled(b"auth-logging"):
            store.note_login(user, NEVER)
    except BaseException:
        with Inside(domain):
            remove_tree(aside(directory, NEW))
        raise
    with Inside(domain):
        put_in_place(directory)
    if quotas.limits(quota):
        quotas.apply(domain, account)
    write_sqwebmail(domain, account)
    onchange.tell(b"add_user", b"%b@%b" % (user, domain.real))
    return account


def aside(directory, prefix):
    """The name beside a user's directory under which it is made, or removed."""
    place, slash, name = directory.rpartition(b"/")
    return place + slash + prefix + name


def make_directories(user, store):
    """[HASH/].new.USER with its Maildir below the current directory; the name it is to have, [HASH/]USER. Raises
    Refused EXIST_U_DIR, MD_FAILED."""
    place = hashdirs.add(store.directories) if home.enabled(b"users-big-dir") else b""
    directory = b"%b/%b" % (place, user) if place else user
    new = aside(directory, NEW)
    if os.path.lexists(directory):
        raise Refused("EXIST_U_DIR")
    try:
        if place:
            os.makedirs(place, 0o700, exist_ok=True)
        for left in (new, aside(directory, GONE)):
            if os.path.lexists(left):   # a crash left it
                remove_tree(left)
        os.mkdir(new, 0o700)
        maildir.make(new + b"/Maildir")
        if home.enabled(b"auth-logging") and not store.logins:
            note_never(new)
    except OSError as why:
        remove_tree(new)
        raise Refused("MD_FAILED") from why
    return directory


def note_never(directory):
    """Make lastauth of one who never logged in, in his new directory: nothing to wait for the disk for."""
    fd = os.open(directory + b"/lastauth", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        os.write(fd, NEVER)
    finally:
        os.close(fd)


def put_in_place(directory):
    """Give a new directory its name. One that was made meanwhile, with the first mail, stays."""
    try:
        os.rename(aside(directory, NEW), directory)
    except OSError:
        remove_tree(aside(directory, NEW))


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
    path = within(domain, account.directory).rstrip(b"/")
    removable = path.strip(b"./") and b".." not in path.split(b"/")
    with Inside(domain):
        if removable:
            put_aside(path)
    store.delete(user)
    with Inside(domain):
        if home.enabled(b"users-big-dir"):
            place = os.path.dirname(path) if not path.startswith(b"/") else b""
            hashdirs.remove(place, table=store.directories)
        for name in (path, aside(path, GONE)) if removable else ():     # mail may have made the first one once more
            remove_tree(name)
            if os.path.lexists(name):   # something in it is not the owner's
                errors.say(b"Warning: Failed to delete directory tree: ", os.path.join(domain.directory, name))


def put_aside(path):
    """Let a user's directory be on its way out. What is left of an earlier one of that name goes."""
    gone = aside(path, GONE)
    remove_tree(gone)
    try:
        os.rename(path, gone)
    except OSError:
        pass                            # not there, or that earlier one still is: told of when it cannot be removed


def remove_tree(path):
    """Remove a directory with everything in it, as far as that is possible; of a link just the link."""
    import shutil                       # 10 ms that adding a user does without
    if os.path.islink(path):
        os.unlink(path)
    else:
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
    store = accounts.store(domain)
    if store.logins:
        return store.last_login(account.name)
    with Inside(domain):
        path = within(domain, account.directory) + b"/lastauth"
        try:
            return int(os.stat(path).st_mtime), netio.read_file(path, 100).strip()
        except FileNotFoundError:
            return None
