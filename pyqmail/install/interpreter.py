"""Which Python runs the programs: one that everybody may execute.

The programs run as seven users and as whoever calls sendmail; an interpreter below /root or in
somebody's closed home would work for its owner only.
"""
import os
import stat
import sys

from ..base.errors import Temporary
from . import commands

OLDEST = (3, 11)
CANDIDATES = ("/usr/bin/python3", "/usr/local/bin/python3",
              *(f"{place}/python3.{minor}" for minor in (14, 13, 12, 11) for place in ("/usr/bin", "/usr/local/bin")))
WRITTEN = b"/usr/bin/python3"       # what the launchers in bin/ say


def choose(private):
    """The path to write into the launchers; private: only the caller need be able to execute it.
    Raises Temporary if there is none."""
    own = getattr(sys, "_base_executable", sys.executable) or sys.executable
    for path in (*CANDIDATES, own, os.path.realpath(own)):
        if os.path.exists(path) and (private or open_to_all(path)) and version(path) >= OLDEST:
            return path
    raise Temporary(f"no Python {OLDEST[0]}.{OLDEST[1]} or later that every user can execute: apt-get install python3")


def open_to_all(path):
    """True if every user can reach and execute the file: its name, and what symbolic links make of it."""
    return all(passable(step) for step in {path, os.path.realpath(path)})


def passable(path):
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) and mode & 0o005 == 0o005):
            return False
        while path != "/":
            path = os.path.dirname(path)
            if not os.stat(path).st_mode & 0o001:
                return False
        return True
    except OSError:
        return False


def version(path):
    """(major, minor) of an interpreter; (0, 0) if it does not run."""
    code, output = commands.attempt(path, "-IS", "-c", "import sys; print(*sys.version_info[:2])")
    try:
        major, minor = output.split()
        return (int(major), int(minor)) if code == 0 else (0, 0)
    except ValueError:
        return (0, 0)


def launcher(content, interpreter):
    """A program of bin/ that is run by `interpreter`."""
    return content.replace(WRITTEN, os.fsencode(interpreter))


def of_launcher(content):
    """The interpreter that a program of bin/ names, as str; None if it is not one of ours."""
    if b"from pyqmail.programs." not in content:
        return None
    for line in content.split(b"\n"):
        words = line.removeprefix(b"#!").removeprefix(b"exec ").split()
        if b"-ISXutf8" in words:
            return os.fsdecode(words[words.index(b"-ISXutf8") - 1])
    return None
