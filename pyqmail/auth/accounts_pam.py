"""System accounts through PAM (the python-pam package): password and account, expiry included.

The service is "pyqmail", also where there is no /etc/pam.d/pyqmail: PAM takes the rules of "other" then, which on
Debian are the common ones. (Asked for "other" by that name it carries them out twice: two comparisons, 33 ms more
with yescrypt.) Elsewhere, where "other" refuses everything, it is "login".
"""
import os

from ..base.errors import Temporary

DIRECTORY = "/etc/pam.d"
# PAM_OPEN_ERR, SYMBOL_ERR, SERVICE_ERR, SYSTEM_ERR, BUF_ERR, AUTHINFO_UNAVAIL, ABORT: no answer, try again later
TROUBLE = frozenset((1, 2, 3, 4, 5, 9, 26))


class Unavailable(Exception):
    """No PAM on this system: ask elsewhere."""


def service(directory=DIRECTORY):
    known = any(os.path.exists(f"{directory}/{name}") for name in ("pyqmail", "common-auth"))
    return "pyqmail" if known else "login"


def load():
    """An authenticator of the package. Raises Unavailable where it, libpam or its rules are missing."""
    if not os.path.isdir(DIRECTORY):
        raise Unavailable
    try:
        import pam                  # 25 ms and ctypes: only in a process that checks a system account
        return pam.PamAuthenticator()
    except (ImportError, OSError, AttributeError) as why:
        raise Unavailable from why


def verify(name, password):
    """True if PAM accepts `name` with `password` (bytes) now. Raises Unavailable, Temporary."""
    authenticator = load()
    if authenticator.authenticate(name, password, service=service()):
        return True
    if authenticator.code in TROUBLE:
        raise Temporary(f"PAM: {authenticator.reason}")
    return False
