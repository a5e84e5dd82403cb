"""The checkpassword interface: both ends of descriptor 3, and what a login leads to.

Bytes on descriptor 3: name NUL password (or APOP digest) NUL timestamp NUL, at most 512 for a
checker. Exit codes of a checker: 1 wrong, 2 misused, 111 temporary trouble.
Source: checkpassword(8) and its interface page, qmail-popup(8).
"""
import os

from ..base import child, netio, prot

LIMIT = 512
WRONG, MISUSED, TROUBLE = 1, 2, 111


class Misused(Exception):
    """What came on descriptor 3 is not a login."""


def encode(name, secret, stamp):
    return b"\0".join((name, secret, stamp, b""))


def decode(data):
    """(name, password or digest). Raises Misused. The timestamp may be anything, it is not returned."""
    fields = data.split(b"\0", 2)
    if len(fields) < 3:
        raise Misused
    return fields[0], fields[1]


def receive(fd=3):
    """The bytes on descriptor 3 to their end; None if there are more than LIMIT. Raises OSError."""
    data = netio.read_all(fd, LIMIT + 1)
    os.close(fd)
    return data if len(data) <= LIMIT else None


def ask(checker, data, path):
    """Run a checker (argv, looked up along `path`) on an encoded login and wait for its end.

    Returns its exit code; minus the signal's number if one ended it; None if it did not take the
    login. Descriptors 0 and 1 are the checker's. Raises OSError when it cannot be started at all.
    """
    reader, writer = os.pipe()
    try:
        pid = child.start(checker[0], checker, {3: reader}, search=path, failed=WRONG)
    finally:
        os.close(reader)
    try:
        netio.write_all(writer, data)
    except OSError:
        return None
    finally:
        os.close(writer)
    return child.wait(pid)


def become(account):
    """Be the account's user, with his groups, in his home directory. Returns what he adds to the
    environment. Raises Temporary, OSError."""
    prot.become(account.uid, account.gid, groups=os.getgrouplist(os.fsdecode(account.name), account.gid))
    os.chdir(account.home)
    return {b"USER": account.name, b"HOME": account.home, b"SHELL": account.shell}
