"""qmail's users and groups on this machine: made if missing, never changed."""
import grp
import os
import pwd

from ..base import accounts
from ..base.errors import Temporary
from . import commands

SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")


def make_missing(directory, tell):
    """Make the groups and accounts that are missing; `directory` is the home they get, alias its
    subdirectory alias. tell(line) hears what was made."""
    for name in accounts.GROUPS:
        if not group_exists(name):
            commands.run("groupadd", "--system", name)
            tell(f"made group {name}")
    for name, group in accounts.ROLES:
        if not user_exists(name):
            commands.run("useradd", "--system", "--no-create-home", "--home-dir",
                         f"{directory}/alias" if name == "alias" else directory,
                         "--gid", group, "--shell", shell(), name)
            tell(f"made user {name}")
    wrong = list(problems())
    if wrong:
        raise Temporary("; ".join(wrong))


def problems():
    """One line for each account that is missing or is not what qmail needs it to be."""
    for name in accounts.GROUPS:
        if not group_exists(name):
            yield f"group {name} does not exist"
    seen = {}
    for name, group in accounts.ROLES:
        if not user_exists(name):
            yield f"user {name} does not exist"
            continue
        found = pwd.getpwnam(name)
        if found.pw_uid == 0:
            yield f"user {name} has uid 0"
        if found.pw_uid in seen:
            yield f"users {seen[found.pw_uid]} and {name} have the same uid {found.pw_uid}"
        seen[found.pw_uid] = name
        if group_exists(group) and found.pw_gid != grp.getgrnam(group).gr_gid:
            yield f"user {name} is not in group {group}"


def user_exists(name):
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def group_exists(name):
    try:
        return bool(grp.getgrnam(name))
    except KeyError:
        return False


def shell():
    return next(path for path in SHELLS if os.path.exists(path) or path == SHELLS[-1])
