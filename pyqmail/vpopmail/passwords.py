"""New password hashes, of the kind that VPOPHOME/options asks for."""
import os

from ..auth import hashes
from . import home
from .errors import Refused

SETTINGS = {b"yescrypt": (b"$y$j9T$", 22), b"sha512": (b"$6$", 16), b"md5": (b"$1$", 8), b"des": (b"", 2)}
RANDOM = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.@!#%*"
DES_LONGEST = 8                         # characters that DES looks at: longer ones would only seem to be checked


def make(clear):
    """The hash of a clear password (bytes); an empty one has the empty hash, with which nobody can log in.
    Raises Refused PASSWD_TOO_LONG, CRYPT_FAILED."""
    if not clear:
        return b""
    kind = home.option(b"password-hash")
    if kind == b"des" and len(clear) > DES_LONGEST:
        raise Refused("PASSWD_TOO_LONG")
    if kind not in SETTINGS:
        raise Refused("CRYPT_FAILED")
    prefix, length = SETTINGS[kind]
    salt = bytes(hashes.SALT[byte & 63] for byte in os.urandom(length))
    result = hashes.crypt(clear, prefix + salt + (b"$" if prefix else b""))
    if not result or result.startswith(b"*"):
        raise Refused("CRYPT_FAILED")
    return result


def kept(clear):
    """What the record keeps of a clear password: nothing, unless clear passwords are asked for."""
    return clear if home.enabled(b"clear-passwd") else b""


def random(length):
    """A random password of so many characters."""
    limit = 256 - 256 % len(RANDOM)     # equal chances for each character
    found = bytearray()
    while len(found) < length:
        found += bytes(RANDOM[byte % len(RANDOM)] for byte in os.urandom(length) if byte < limit)
    return bytes(found[:length])
