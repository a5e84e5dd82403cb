"""Password hashes as /etc/shadow has them: DES, $1$, $5$, $6$, $2b$, $y$ and what else libcrypt knows.

The library's crypt where Python still has it (up to 3.12; the C module, without its warning), the
system's libcrypt otherwise, and for passwords that are not UTF-8. Same function, same results.
"""
import os
from _operator import _compare_digest as same    # hmac.compare_digest, without hmac's 10 ms

DEFAULT = b"$6$"                    # SHA-512: every libcrypt has it
SALT = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DUMMY = b"$6$pyqmailpyqmail$"       # a setting to compute with when there is nothing to compare


def matches(password, stored):
    """True if `password` (bytes) gives the hash `stored`. Never for an empty or locked hash, an empty
    password, or libcrypt's failure tokens (*0, *1). Raises OSError if there is no crypt at all."""
    if not password or b"\0" in password or not usable(stored):
        return False
    result = crypt(password, stored)
    return result is not None and not result.startswith(b"*") and len(result) == len(stored) and same(result, stored)


def usable(stored):
    """True if some password could match: "!" or "*" in front locks an account, "x" or nothing is no hash."""
    return len(stored) > 2 and stored[:1] not in (b"!", b"*") and b"\0" not in stored


def spend(password, like=DUMMY):
    """Take the time of a comparison. like: a hash of the kind that real accounts have."""
    crypt(password.replace(b"\0", b"?") or b"?", like if usable(like) else DUMMY)


def make(password):
    """A new hash of `password` (bytes, not empty, no NUL)."""
    salt = bytes(SALT[byte & 63] for byte in os.urandom(16))
    return crypt(password, DEFAULT + salt + b"$")


def crypt(password, setting):
    """crypt(3) on bytes; None if it does not know the setting."""
    try:
        import _crypt               # gone in 3.13
        return _crypt.crypt(password.decode(), setting.decode("ascii")).encode("ascii")
    except (ImportError, UnicodeDecodeError, AttributeError, OSError):
        return _libcrypt(password, setting)


def _libcrypt(password, setting):
    import ctypes                   # 2-7 ms: only where the library has no crypt
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            function = ctypes.CDLL(name, use_errno=True).crypt
            break
        except OSError:
            continue
    else:
        raise OSError(2, "no libcrypt")
    function.argtypes, function.restype = [ctypes.c_char_p, ctypes.c_char_p], ctypes.c_char_p
    return function(password, setting)
