"""QMAILHOME/users/poppasswd: the POP3 password of the one user of a private home.

Nobody but root may compare a password with the system's, so a private home keeps its own:
`name:hash` lines, hashes as in /etc/shadow, mode 0600, owned by the user.
"""
import errno
import os

from ..base import accounts, home, netio
from ..base.errors import Temporary, text
from . import hashes


def path():
    return home.path("users", "poppasswd")


def find(name, owner, file=None):
    """The hash of `name`; b"" if there is none. The file must belong to the uid `owner`, or to root, and be
    closed to all others. Raises Temporary if it is not, or cannot be read."""
    file = file or path()
    try:
        status = os.stat(file)
        if status.st_mode & 0o077 or status.st_uid not in (0, owner):
            raise Temporary(f"{file} must belong to uid {owner} and have mode 0600")
        data = netio.read_file(file)
    except OSError as why:
        if why.errno == errno.ENOENT:
            return b""
        raise Temporary(f"unable to read {file}: {text(why)}") from why
    for line in data.split(b"\n"):
        given, colon, stored = line.partition(b":")
        if colon and given == name:
            return stored
    return b""


def put(name, password, file=None):
    """Set the password of `name`: a new file in place of the old one. Raises OSError, ValueError."""
    file = file or path()
    if not name or not password or set(name + password) & set(b"\0\n") or b":" in name:
        raise ValueError("a name without colon and a password, one line each")
    try:
        old = netio.read_file(file)
    except FileNotFoundError:
        old = b""
    lines = [line for line in old.split(b"\n") if line and line.partition(b":")[0] != name]
    lines.append(name + b":" + hashes.make(password))
    fd = os.open(f"{file}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)            # one that a broken-off attempt left may be anything
        alone = accounts.private()
        if os.geteuid() == 0 and alone:
            os.fchown(fd, *alone)
        netio.write_all(fd, b"\n".join(lines) + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(f"{file}.new", file)
    netio.sync_directory(os.path.dirname(file))
