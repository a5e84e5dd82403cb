"""Maildirs for those who have none: qmail delivers to ./Maildir/ but never makes one.

Root never makes anything inside a user's home: a child that has become the user does, so no
symbolic link in there leads anywhere the user could not go himself.
"""
import os
import pwd

from ..base import child, errors, maildir, prot

ORDINARY = range(1000, 60000)       # uids of people, on Debian and most others
SKELETON = "/etc/skel"
NAMED = 10                          # so many users are told by name


def make_all(tell):
    """A Maildir for every ordinary user who has a home of his own, and for users to come."""
    made = [user.pw_name for user in pwd.getpwall() if wants(user) and make_as(user.pw_uid, user.pw_gid, user.pw_dir)]
    if made:
        tell(f"made ~/Maildir for {', '.join(made[:NAMED])}"
             + (f" and {len(made) - NAMED} more" if len(made) > NAMED else ""))
    if os.path.isdir(SKELETON) and make(f"{SKELETON}/Maildir"):
        tell(f"made {SKELETON}/Maildir: adduser gives every new user a Maildir")


def wants(user):
    try:
        found = os.lstat(user.pw_dir)
    except OSError:
        return False
    return (user.pw_uid in ORDINARY and found.st_uid == user.pw_uid and user.pw_dir != "/"
            and not os.path.lexists(f"{user.pw_dir}/Maildir"))


def make_as(uid, gid, directory):
    """Make directory/Maildir as this user. True if it was made."""
    return as_user(uid, gid, lambda: make(f"{directory}/Maildir"))


def as_user(uid, gid, work):
    """Carry out work() in a child that is this user for good (in a private home we are it already).
    True if work() returned something true."""
    def do():
        prot.become(uid, gid)
        os.umask(0o077)
        try:
            return 0 if work() else 1
        except OSError as why:
            errors.say("warning: uid ", str(uid), ": ", repr(why.filename), ": ", errors.text(why))
            return 1
    return child.wait(child.fork(do)) == 0


def make(path):
    """Make a Maildir; False if `path` is there already."""
    if os.path.lexists(path):
        return False
    maildir.make(os.fsencode(path))
    return True
