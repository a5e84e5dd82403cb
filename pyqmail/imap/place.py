"""Where authdaemond is asked: a socket that has its mode from the start, and its name when it listens.

Its directory decides who may ask. It may belong to somebody else than root, so nothing in it is opened or changed:
names are only made, renamed and taken away.
"""
import os
import socket

from ..base.errors import Temporary


def bind(directory, owner):
    """The listening socket in `directory` (bytes), which is made for `owner` (uid, gid) if it is missing. Raises
    Temporary if somebody else listens there, OSError."""
    make_directory(directory, owner)
    place = directory + b"/socket"
    if answers(directory):
        raise Temporary(f"{os.fsdecode(place)}: another authdaemond serves there; stop it first")
    temporary = b"%b.%d" % (place, os.getpid())
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    umask = os.umask(0)
    try:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        listener.bind(temporary)
    finally:
        os.umask(umask)
    listener.listen(socket.SOMAXCONN)
    os.rename(temporary, place)
    return listener


def answers(directory):
    """True if an authdaemond, ours or another, serves there."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(directory + b"/socket")
        except OSError:
            return False
    return True


def make_directory(directory, owner):
    above = os.path.dirname(directory)
    os.makedirs(above, mode=0o755, exist_ok=True)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(fd, *owner)
        os.fchmod(fd, 0o750)
    finally:
        os.close(fd)
