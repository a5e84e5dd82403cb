"""etc/onchange, a program of the administrator's that is told of changes: COMMAND ARGUMENT, once a program run."""
import os

from ..base import child, errors
from . import home

_told = []


def tell(command, argument):
    """Run etc/onchange, if VPOPHOME/options wants it, and wait for it. Its failure changes nothing."""
    if _told or not home.enabled(b"onchange-script"):
        return
    _told.append(command)
    path = home.path(b"etc", b"onchange")
    if not os.path.exists(path):
        return
    if not os.access(path, os.X_OK):
        errors.say(b"ONCHANGE script ", path, b" not executable.")
        return
    child.wait(child.start(path, [path, command, argument], {0: 0, 1: 1, 2: 2}))
