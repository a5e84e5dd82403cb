"""QMAILHOME and the names below it.

The home is the directory above `pyqmail/`, that is, where the running program stands
(QMAILHOME/bin/qmail-send -> QMAILHOME): never an environment variable, which a stranger could
set on a privileged program.
"""
import os

from .filemark import mark

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_ours = {}


def path(*parts):
    """QMAILHOME/part/part… as str."""
    return "/".join((HOME, *parts))


def program(name):
    """The path of QMAILHOME/bin/NAME."""
    return f"{HOME}/bin/{name}"


def launches(code, name):
    """True if this is pyqmail's launcher of the program NAME itself: qmail-qmqpc, our own as well, may stand
    where qmail-queue stood."""
    module = name.replace("-", "_").encode()
    return any(b"from pyqmail.programs.%b%b import" % (module, end) in code for end in (b"", b"_"))


def ours(name):
    """True if bin/NAME is pyqmail's own launcher; False for a program put in its place, or none.

    Work that pyqmail does in a warm process instead of starting bin/NAME is allowed only while
    this holds: an administrator who exchanges a program must see his own run. The answer is
    kept until the file changes.
    """
    try:
        now = mark(os.stat(program(name)))
        if _ours.get(name, (None,))[0] != now:
            with open(program(name), "rb") as f:
                _ours[name] = (now, launches(f.read(2000), name))
        return _ours[name][1]
    except OSError:
        return False
