"""authdaemonrc: one NAME=VALUE or NAME="VALUE" a line, "#" in front of comments; other names are for others.

Source: courier-authlib's authdaemonrc.
"""
from ..base import netio
from ..base.errors import Temporary, text

MODULE = b"authvchkpw"              # the one there is here
DIRECTORY = b"/run/courier/authdaemon"      # where Courier's programs as Debian has them look for the socket
NAMES = {b"authmodulelist": MODULE, b"daemons": b"5", b"authdaemonvar": DIRECTORY, b"DEBUG_LOGIN": b"0",
         b"DEFAULTOPTIONS": b""}
MOST = 1000                         # of daemons
DIGITS = 18                         # of a number


class Settings:
    """daemons: passwords compared at once. directory: of the socket. debug: 0, 1, 2 (passwords, too). defaults:
    OPTIONS of accounts that have none of that name. foreign: modules that are asked for and not there."""

    def __init__(self, values):
        modules = values[b"authmodulelist"].split()
        if MODULE not in modules:
            raise Temporary("authmodulelist: without authvchkpw there is nothing to do")
        self.foreign = [module for module in modules if module != MODULE]
        self.daemons = min(number(values, b"daemons") or 1, MOST)
        self.directory = values[b"authdaemonvar"]
        self.debug = number(values, b"DEBUG_LOGIN")
        self.defaults = values[b"DEFAULTOPTIONS"]


def number(values, name):
    if not values[name].isdigit() or len(values[name]) > DIGITS:
        raise Temporary(f"{name.decode()}: not a number")
    return int(values[name])


def read(path):
    """The Settings in a file; those of NAMES without one (None). Raises Temporary."""
    if path is None:
        return Settings(NAMES)
    try:
        data = netio.read_file(path, 1 << 16)
    except OSError as why:
        raise Temporary(f"unable to read {path}: {text(why)}") from why
    return Settings({**NAMES, **assignments(data)})


def assignments(data):
    """{name: value} of the lines that assign something."""
    found = {}
    for line in data.split(b"\n"):
        name, equals, value = line.strip().partition(b"=")
        if equals and not name.startswith(b"#"):
            value = value.strip()
            quoted = len(value) > 1 and value[:1] == value[-1:] and value[:1] in (b'"', b"'")
            found[name.strip()] = value[1:-1] if quoted else value
    return found
