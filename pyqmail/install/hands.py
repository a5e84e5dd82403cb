"""Whose hands code has been in: before it is run as somebody, nobody else may have been able to change it.

Root that runs, or installs into, a directory of an ordinary user gives this user all its rights.
"""
import os
import stat


def strangers(path, owner=None):
    """The first of `path` and the directories above it that somebody other than root and `owner` (we, if None)
    could exchange, None if there is none. `path` is as realpath gives it. Raises OSError.

    A directory with the sticky bit, like /tmp, is safe for what is ours in it. A group that may write is
    taken to be the owner's own.
    """
    trusted = 0, os.geteuid() if owner is None else owner
    while True:
        found = os.lstat(path)
        shared = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_uid not in trusted or found.st_mode & 0o002 and not shared:
            return path
        if path == "/":
            return None
        path = os.path.dirname(path)


def root_may_not_trust(path):
    """strangers(path) if we are root; others risk no more than they do with any program they run. Raises OSError."""
    return strangers(path) if os.geteuid() == 0 else None


def strangers_below(directory, owner=None):
    """Every file and directory below `directory` that others than root and `owner` could change."""
    trusted = 0, os.geteuid() if owner is None else owner
    for above, below, files in os.walk(directory):
        for name in (*below, *files):
            path = os.path.join(above, name)
            found = os.lstat(path)
            if found.st_uid not in trusted or found.st_mode & 0o022 and not stat.S_ISLNK(found.st_mode):
                yield path


def open_to_all(directory):
    """Every file in `directory` that everybody may write: whose it is, and its group, is an administrator's choice."""
    for entry in os.scandir(directory) if os.path.isdir(directory) else ():
        if entry.is_file(follow_symlinks=False) and entry.stat().st_mode & 0o002:
            yield entry.path
