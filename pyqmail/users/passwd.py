"""Who controls an address by the system's accounts: what qmail-getpw tells.

Source: qmail-getpw(8).
"""
import errno
import os
import pwd

from ..base import accounts, errors, home, netio
from .codes import NFS, NO_ALIAS, SYSTEM, Undecided

NAME_MAX = 31                       # bytes; longer names are never accounts
BREAK = b"-"                        # separates the user from the extension
PASSWD = "/etc/passwd"
NOT_THERE = (0, errno.ENOENT, errno.ESRCH, errno.EBADF, errno.EPERM)


def getpw(local):
    """`user NUL uid NUL gid NUL home NUL dash NUL ext NUL` for a local part in any case.

    The account named by the whole local part, else by the longest part of it that ends before a
    dash; an account counts if its uid is not 0 and it owns its home. Otherwise alias, with the
    whole local part as extension. In a private home only the accounts of its owner count, and
    alias is that owner in QMAILHOME/alias. Raises Undecided.
    """
    alone = accounts.private()
    for user, extension in candidates(local):
        account = find(user.lower())
        if account and (not alone or account.pw_uid == alone[0]) and owns_home(account):
            return fields(account, b"" if extension is None else BREAK, extension or b"")
    return fields(alias(alone), BREAK, local)


def alias(alone):
    """The account that controls what nobody else does. Raises Undecided.

    Its home is that of the system's account; but where that is the alias directory of another
    installation on the same machine, and this one has its own, it is this one's.
    """
    ours = home.path("alias")
    if alone:
        return pwd.struct_passwd(("alias", "", *alone, "", ours, ""))
    account = find(b"alias")
    if account is None:
        raise Undecided(NO_ALIAS)
    if os.path.basename(account.pw_dir) == "alias" and account.pw_dir != ours and owns(account, ours):
        return pwd.struct_passwd((*account[:5], ours, account.pw_shell))
    return account


def candidates(local):
    """(name, extension) in the order in which they are tried; extension None: the whole local part."""
    if len(local) <= NAME_MAX:
        yield local, None
    end = local.rfind(BREAK, 0, NAME_MAX + 1)
    while end >= 0:
        yield local[:end], local[end + 1:]
        end = local.rfind(BREAK, 0, end)


def find(name):
    """The account of this name (bytes), None if there is none. Raises Undecided when the system
    cannot tell just now: mail must wait then, not go to alias."""
    for _ in range(2):
        try:
            return pwd.getpwnam(os.fsdecode(name))
        except KeyError:
            if not answered(name):
                return None
    raise Undecided(SYSTEM)


def answered(name):
    """True if the account is there after all. pwd gives a KeyError for whatever goes wrong, so ask once more, and
    look whether the answer can be trusted: with several sources of accounts in nsswitch.conf, one that
    cannot be read is as if it had none. Raises Undecided."""
    try:
        netio.read_file(PASSWD, 0)
    except FileNotFoundError:
        pass                        # accounts come from elsewhere
    except OSError:
        raise Undecided(SYSTEM) from None
    try:
        import ctypes               # 2-7 ms, and only for names without account
        buffer, result = ctypes.create_string_buffer(65536), ctypes.c_void_p()
        ask = ctypes.CDLL(None).getpwnam_r
        ask.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        status = ask(name, ctypes.create_string_buffer(1024), buffer, len(buffer), ctypes.byref(result))
    except (ImportError, AttributeError, OSError):
        return False                # a system without it: believe pwd
    if status not in NOT_THERE:
        raise Undecided(SYSTEM)
    return bool(result.value)


def owns_home(account):
    """True if the account is not root's and its home exists and is its own. Raises Undecided."""
    return account.pw_uid != 0 and owns(account, account.pw_dir)


def owns(account, directory):
    """True if the directory exists and is the account's. Raises Undecided."""
    try:
        return os.stat(directory).st_uid == account.pw_uid
    except OSError as why:
        if errors.passing(why):
            raise Undecided(NFS) from why
        return False


def fields(account, dash, extension):
    return b"".join(b"%b\0" % field for field in (
        os.fsencode(account.pw_name), b"%d" % account.pw_uid, b"%d" % account.pw_gid,
        os.fsencode(account.pw_dir), dash, extension))
