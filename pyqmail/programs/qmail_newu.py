"""qmail-newu: make users/cdb from users/assign.

    qmail-newu

Reads QMAILHOME/users/assign, writes users/cdb.tmp, syncs it and moves it to users/cdb, which is
always either the old or the new one, whole. Exit codes: 0 done; 111 not done, one line on
descriptor 2, users/cdb as it was.

**Security**: run by root (or whoever owns users/); reads only what that user wrote.
Source: qmail-newu(8).
"""
import os

from ..base import cdb, home, netio
from ..base.errors import Temporary
from ..users import assign

LARGEST = 1 << 30                   # bytes of users/assign


def main(argv):
    os.umask(0o033)
    attempt("unable to chdir", os.chdir, home.HOME)
    source = attempt("unable to open users/assign", os.open, "users/assign", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    target = attempt("unable to open users/cdb.tmp", os.open, "users/cdb.tmp",
                     os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    try:
        records = assign.records(attempt("unable to read users/assign", netio.read_all, source, LARGEST))
        attempt("unable to write users/cdb.tmp", cdb.write, target, records)
    except MemoryError:
        raise Temporary("out of memory") from None
    attempt("unable to write users/cdb.tmp", os.close, target)
    attempt("unable to move users/cdb.tmp to users/cdb", os.rename, "users/cdb.tmp", "users/cdb")
    attempt("unable to move users/cdb.tmp to users/cdb", netio.sync_directory, "users")


def attempt(failure, do, *arguments):
    """What do(*arguments) gives. An OSError becomes Temporary(failure)."""
    try:
        return do(*arguments)
    except OSError as why:
        raise Temporary(failure) from why
