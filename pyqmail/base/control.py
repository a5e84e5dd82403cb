"""Control files: QMAILHOME/control/NAME.

First line: trailing blanks, tabs and newlines are cut, leading ones stay. List: one entry a line,
trailing blanks cut, empty lines and lines starting with "#" skipped. Number: the leading digits of
the first line. A file that is there but cannot be read raises Temporary: mail must wait, not be
treated as if the file were absent. Source: qmail-control, control.c's behaviour as recorded.
"""
import errno
import os

from . import home, netio, number as numbers
from .errors import Temporary, text

BLANKS = b" \t\n"


def raw(name):
    """The bytes of control/NAME; None if there is no such file. Raises Temporary."""
    try:
        return netio.read_file(home.path("control", name))
    except OSError as why:
        if why.errno == errno.ENOENT:
            return None
        raise Temporary(f"unable to read control/{name}: {text(why)}") from why


def line(name, *defaults):
    """The first line of control/NAME, else the first default that is not None, else None."""
    data = raw(name)
    if data is not None:
        return data.partition(b"\n")[0].rstrip(BLANKS)
    return next((default for default in defaults if default is not None), None)


def number(name, default):
    """The number in control/NAME; the default if there is no file or no digit at its start."""
    given = numbers.leading(raw(name) or b"")[0]
    return default if given is None else given


def lines(name):
    """The entries of control/NAME as a list; None if there is no such file."""
    data = raw(name)
    return None if data is None else entries(data)


def entries(data):
    """The entries in the bytes of a list. A NUL ends one, too; a line that begins with NUL is skipped."""
    return [entry for text in texts(data) if text[0] for entry in text.split(b"\0")]


def texts(data):
    """The lines that say something, without the blanks at their ends."""
    stripped = (text.rstrip(BLANKS) for text in data.split(b"\n"))
    return [text for text in stripped if text and not text.startswith(b"#")]


def exists(name):
    """True if control/NAME is there, readable or not."""
    return os.path.lexists(home.path("control", name))


def fold(names):
    """A set of lower-case names for look-ups without regard to case (ASCII)."""
    return frozenset(name.lower() for name in names)


def mapping(pairs):
    """`name:value` entries as {lower-case name: value}; the last of equals counts, lines without a
    colon are skipped, only the first colon separates."""
    return {name.lower(): value for name, colon, value in (pair.partition(b":") for pair in pairs) if colon}
