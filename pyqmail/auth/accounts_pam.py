"""System accounts through PAM (the python-pam package): password and account, expiry included.

The service is "pyqmail" where /etc/pam.d/pyqmail exists. Without it: "other", which on Debian is
the common rules, elsewhere "login" (there "other" refuses everything).
"""
import os

from ..base.errors import Temporary

DIRECTORY = "/etc/pam.d"
# PAM_OPEN_ERR, SYMBOL_ERR, SERVICE_ERR, SYSTEM_ERR, BUF_ERR, AUTHINFO_UNAVAIL, ABORT: no answer, try again later
TROUBLE = frozenset((1, 2, 3, 4, 5, 9, 26))


class Unavailable(Exception):
    """No PAM on this system: ask elsewhere."""


def service(directory=DIRECTORY):
    if os.path.exists(f"{directory}/pyqmail"):
        return "pyqmail"
    return "other" if os.path.exists(f"{directory}/common-auth") else "login"


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
