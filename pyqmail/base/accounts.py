"""qmail's own users and groups.

An installation whose home belongs to an ordinary user is a *private home*: every role is played
by that user and nothing is separated. Otherwise the roles are the accounts of these names.
"""
import os

from . import home
from .errors import Temporary

#  role       account    group       what runs as it
ROLES = (
    ("alias", "nofiles"),           # owner of ~alias, mail for addresses nobody else controls
    ("qmaild", "nofiles"),          # network daemons
    ("qmaill", "nofiles"),          # loggers
    ("qmailp", "nofiles"),          # account look-ups
    ("qmailq", "qmail"),            # the queue: qmail-queue, qmail-clean
    ("qmailr", "qmail"),            # remote deliveries
    ("qmails", "qmail"),            # qmail-send
)
GROUPS = ("qmail", "nofiles")


def private():
    """(uid, gid) of the user who plays every role in a private home; None where roles are separate."""
    found = os.stat(home.HOME)
    return (found.st_uid, found.st_gid) if found.st_uid != 0 else None


def uid(role):
    """The uid of a role, "root" included: the owner of a private home plays that, too. Raises Temporary when the
    account does not exist."""
    alone = private()
    if alone or role == "root":
        return alone[0] if alone else 0
    import pwd                      # not needed in a private home
    try:
        return pwd.getpwnam(role).pw_uid
    except KeyError:
        raise Temporary(f"unable to find user {role}") from None


def roles():
    """{uid: role} of all roles; of several with one uid the first. Empty in a private home: its uid says nothing."""
    return {} if private() else {uid(role): role for role, _ in reversed(ROLES)}


def gid(group):
    """The gid of a group. Raises Temporary when it does not exist."""
    alone = private()
    if alone:
        return alone[1]
    import grp
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise Temporary(f"unable to find group {group}") from None


def ids(role):
    """(uid, gid) of a role, its gid being that of the group the role belongs to."""
    return uid(role), gid(dict(ROLES)[role])
