"""VPOPHOME, its owner, and what vpopmail's build options were.

VPOPHOME is the home directory of the user vpopmail, whose group owns every domain that no other user was
given. In a private home (see base/accounts.py) it is QMAILHOME/vpopmail and belongs to the one user there is.

The file VPOPHOME/options, lines "NAME VALUE", holds what vpopmail's configure script decided when it was
compiled. A name that is not there has the value of OPTIONS.
"""
import os
import time

from ..base import accounts, home
from ..base.errors import Permanent, Temporary
from ..base.filemark import mark

USER = "vpopmail"
YES, NO = b"yes", b"no"

# What configure decided: name, default, what it is (the manual reads this table).
CONFIGURE = (
    (b"account-store", b"cdb", "where new domains have their accounts: cdb, or sql as etc/vpopmail.sql says"),
    (b"password-hash", b"sha512", "the kind of new hashes: yescrypt, sha512, md5 (which old programs know) or des"),
    (b"clear-passwd", NO,
     "keep clear passwords, too; APOP and CRAM-MD5 need them, and whoever reads the file has them"),
    (b"qmail-ext", NO, "joe-list belongs to joe"),
    (b"domain-quotas", NO, "quota and maxmsgcount of a limits file hold for the mail of the whole domain"),
    (b"learn-passwords", NO, "the first password somebody logs in with becomes that of a user without one"),
    (b"onchange-script", NO, "etc/onchange is told of changes"),
    (b"sqwebmail-pass", NO, "Maildir/sqwebmail-pass holds the password hash"),
    (b"passwd", NO, "vchkpw looks into the accounts of the system, too"),
    (b"users-big-dir", YES, "directories of a hundred users each; one-letter names are refused"),
    (b"auth-logging", YES, "lastauth in the directory of a user says when he logged in, and from where"),
    (b"roaming-users", YES, "a login opens the relay for its address"),
    (b"relay-clear-minutes", b"180", "for how many minutes"),
    (b"tcpserver-file", b"", "the rules that a login is added to; without it etc/tcp.smtp"),
    (b"login-failures", b"", "in place of control/loginfailures for virtual users; without it that"),
    (b"logging", b"e", "n logs nothing, e errors, y success as well, p errors with passwords, v all of that"),
)
LOOK_AGAIN = 1                      # s
OPTIONS = {name: value for name, value, _ in CONFIGURE}
_known = {}


def vpophome():
    """VPOPHOME as bytes. Raises Temporary if there is no user vpopmail."""
    return _account()[0]


def ids():
    """(uid, gid) of vpopmail. Raises Temporary if there is no such user."""
    return _account()[1:]


def path(*parts):
    """VPOPHOME/part/part… as bytes."""
    return b"/".join((vpophome(), *parts))


def _account():
    if "account" not in _known:
        alone = accounts.private()
        if alone:
            _known["account"] = (os.fsencode(home.path("vpopmail")), *alone)
        else:
            import pwd                  # not needed in a private home
            try:
                entry = pwd.getpwnam(USER)
            except KeyError:
                raise Temporary(f"unable to find user {USER}") from None
            _known["account"] = os.fsencode(entry.pw_dir).rstrip(b"/") or b"/", entry.pw_uid, entry.pw_gid
    return _known["account"]


def use(directory, uid, gid):
    """Take `directory` (bytes) as VPOPHOME of uid:gid from here on."""
    _known.clear()
    _known["account"] = directory, uid, gid


def look_again():
    """Forget the options if VPOPHOME/options has changed: for a process that delivers many times. Looks once a second
    at most."""
    now = time.monotonic()
    if "options" in _known and now - _known["looked"] >= LOOK_AGAIN:
        _known["looked"] = now
        if _known["mark"] != _mark():
            del _known["options"]


def _mark():
    """What changes when VPOPHOME/options does; None if there is none."""
    try:
        return mark(os.stat(path(b"options")))
    except OSError:
        return None


def option(name):
    """The value of a build option. Raises Temporary if VPOPHOME/options cannot be read, Permanent if it is wrong."""
    if "options" not in _known:
        _known["mark"], _known["looked"] = _mark(), time.monotonic()      # before it is read: a change is seen later
        _known["options"] = {**OPTIONS, **_read_options()}
    return _known["options"][name]


def enabled(name):
    """True if the build option is "yes"."""
    return option(name) == YES


def _read_options():
    try:
        with open(path(b"options"), "rb") as f:
            text = f.read(65536)
    except FileNotFoundError:
        return {}
    except OSError as why:
        raise Temporary(f"unable to read {os.fsdecode(path(b'options'))}") from why
    found = {}
    for line in text.split(b"\n"):
        name, _, value = line.strip().partition(b" ")
        if not name or name.startswith(b"#"):
            continue
        if name not in OPTIONS:
            raise Permanent(f"unknown name in {os.fsdecode(path(b'options'))}: {os.fsdecode(name)}")
        found[name] = value.strip()
    return found
