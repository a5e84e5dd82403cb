"""Where the SQL accounts are: VPOPHOME/etc/vpopmail.sql.

The first line that is neither empty nor a comment is the database's URL:

    postgresql://USER:PASSWORD@HOST/DATABASE        postgresql:///DATABASE?host=/run/postgresql
    sqlite:////PATH

Without that file vpopmail's own etc/vpopmail.pgsql is read: HOST|PORT|USER|PASSWORD|DATABASE. Whoever can read the file
can read and change every account, so it belongs to root or vpopmail, its group is vchkpw, and others have no rights.
"""
import os
import stat

from ..base import filemark
from ..base.errors import Temporary, text
from . import home

FILE, OLD = b"vpopmail.sql", b"vpopmail.pgsql"
LONGEST = 4096
MODE = 0o640


def path(name=FILE):
    return home.path(b"etc", name)


def find():
    """(path, mark) of the file there is; the mark changes whenever it does. None if there is none. Raises OSError."""
    for name in (FILE, OLD):
        try:
            return path(name), filemark.mark(os.stat(path(name)))
        except FileNotFoundError:
            continue
    return None


def read(name):
    """The URL (str) in the file `name`, of either kind. Raises Temporary if it is not for us to read, or for others as
    well."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as why:
        raise Temporary(f"unable to read {os.fsdecode(name)}: {text(why)}") from why
    with open(fd, "rb", buffering=0) as f:
        refuse_public(name, os.fstat(fd))
        lines = f.read(LONGEST).split(b"\n")
    for line in lines:
        line = line.strip()
        if line and not line.startswith(b"#"):
            return from_vpopmail(line) if name.endswith(OLD) else os.fsdecode(line)
    raise Temporary(f"no URL in {os.fsdecode(name)}")


def refuse_public(name, found):
    """Raises Temporary for a file that others may read, or that somebody else may change."""
    uid, gid = home.ids()
    if found.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise Temporary(f"{os.fsdecode(name)} holds the accounts' password: chmod {MODE:o}")
    if found.st_uid not in (0, uid) or found.st_mode & stat.S_IRGRP and found.st_gid not in (0, gid):
        raise Temporary(f"{os.fsdecode(name)} must belong to root or vpopmail, and to the group vchkpw")


def from_vpopmail(line):
    """The URL of a line HOST|PORT|USER|PASSWORD|DATABASE. Raises Temporary."""
    fields = line.split(b"|")
    if len(fields) != 5:
        raise Temporary("etc/vpopmail.pgsql: not HOST|PORT|USER|PASSWORD|DATABASE")
    from urllib.parse import quote      # only here
    host, port, user, password, database = (quote(field, safe="") for field in fields)
    return f"postgresql://{user or 'postgres'}:{password}@{host}{':' + port if port else ''}/{database or 'vpopmail'}"


def write(url):
    """Make etc/vpopmail.sql of the URL (str), readable for vpopmail and its group. Raises OSError."""
    name, temporary = path(), path() + b".tmp"
    uid, gid = home.ids()
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb", buffering=0) as f:
        f.write(b"# Where the accounts are that vconvert moved to SQL: see vpopmail-sql(5).\n%b\n" % os.fsencode(url))
        if os.geteuid() == 0:
            os.fchown(fd, 0, gid)
        os.fchmod(fd, MODE)
        os.fsync(fd)
    os.rename(temporary, name)
