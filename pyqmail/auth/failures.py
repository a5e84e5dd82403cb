"""How often logins failed: counted for each address and for each user, for all services together.

With as many failures within WINDOW as control/loginfailures allows, nothing more is checked for this address, or
this user, until the window is over. The counts are in QMAILHOME/run/login-failures, a table of fixed size: 8 bytes that
stand for the address or user, 4 for a count, 4 for the time of the first of them. Buckets of a few entries are locked
one by one; a full one loses its oldest entry. Root makes the file; the group CHECKERS may write it, so that who
checks passwords without being root (vpopmaild, an IMAP server's helper) counts in the same table; root can hold() it
open for a process that will be somebody else. Where it cannot be written, nothing is counted, and who holds a lock for ever is not waited for: a login must not depend on this.
"""
import fcntl
import os
import time
from _blake2 import blake2b         # hashlib costs 10 ms at start

from ..base import control, home

WINDOW = 600                        # s
LIMIT = 100                         # failures within it, without control/loginfailures
CHECKERS = "vchkpw"                 # group; on a machine without it root alone checks passwords
BUCKETS, ENTRIES = 1024, 8
ENTRY = 16                          # bytes
BUCKET = ENTRY * ENTRIES
LOOPBACK = (b"127.", b"::1")        # webmail: everybody comes from there
GROUPS = 4                          # of an IPv6 address that stand for one customer: a /64
_held = []                          # descriptor of hold()
TRIES, PAUSE = 50, 0.01             # s between two tries for a lock


class TooMany(Exception):
    """No password of this user, or from this address, is compared now."""


def path():
    return home.path("run", "login-failures")


def make():
    """Make the file, or open one that is there to CHECKERS. Returns its descriptor. Raises OSError."""
    fd = os.open(path(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        import grp                  # once in the life of an installation
        try:
            os.fchown(fd, 0, grp.getgrnam(CHECKERS).gr_gid)
            os.fchmod(fd, 0o660)
        except KeyError:
            pass
    return fd


def hold():
    """Keep the file open for this process, and for those that it forks, whoever they become."""
    try:
        _held[:] = [make()]
    except OSError:
        pass                        # as when it cannot be written


def allowed():
    """How many failures are allowed within WINDOW; 0 for any number."""
    return control.number("loginfailures", LIMIT)


def keys(user, ip):
    """The keys (8 bytes each) that a login of `user` (user@domain) from `ip` counts for."""
    found = [b"user " + user]
    if ip and not ip.startswith(LOOPBACK):
        found.append(b"address " + network(ip))
    return [blake2b(name, digest_size=8).digest() for name in found]


def network(ip):
    """What stands for a customer: an IPv4 address, or an IPv6 /64."""
    if b":" not in ip:
        return ip
    import socket                   # only clients with IPv6
    try:
        return socket.inet_pton(socket.AF_INET6, ip.decode("ascii"))[:2 * GROUPS]
    except (OSError, ValueError):       # no ASCII, a NUL
        return ip


def too_many(user, ip, limit=None):
    """True if no login of this user, or from this address, is to be checked now. limit: in place of allowed()."""
    limit = allowed() if limit is None else limit
    return bool(limit) and any(count >= limit for count in visit(user, ip, 0))


def note(user, ip, limit=None):
    """One more has failed."""
    if allowed() if limit is None else limit:
        visit(user, ip, 1)


def visit(user, ip, more):
    """The counts of a user and an address, after adding `more`."""
    try:
        try:
            fd = os.dup(_held[0]) if _held else os.open(path(), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if not more:
                return []
            fd = make()
    except OSError:
        return []
    try:
        return [visit_one(fd, key, more, int(time.time())) for key in keys(user, ip)]
    except OSError:
        return []
    finally:
        os.close(fd)


def visit_one(fd, key, more, now):
    place = int.from_bytes(key[:4], "big") % BUCKETS * BUCKET
    locked = lock(fd, place)
    try:
        entries = unpack(os.pread(fd, BUCKET, place).ljust(BUCKET, b"\0"))
        known = next((entry for entry in entries if entry[0] == key and 0 <= now - entry[2] < WINDOW), None)
        count, since = (known[1], known[2]) if known else (0, now)
        if more:
            others = sorted((entry for entry in entries if entry[0] != key), key=lambda entry: -entry[2])
            count = min(count + more, (1 << 32) - 1)
            os.pwrite(fd, pack([(key, count, since), *others[:ENTRIES - 1]]), place)
        return count
    finally:
        if locked:
            fcntl.lockf(fd, fcntl.LOCK_UN, BUCKET, place)


def lock(fd, place):
    """Hold the lock on a bucket; False if somebody else holds it for longer than a count takes."""
    for _ in range(TRIES):
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, BUCKET, place)
            return True
        except OSError:
            time.sleep(PAUSE)
    return False


def unpack(data):
    """[(key, count, since)]"""
    parts = (data[at:at + ENTRY] for at in range(0, BUCKET, ENTRY))
    return [(part[:8], int.from_bytes(part[8:12], "big"), int.from_bytes(part[12:], "big")) for part in parts]


def pack(entries):
    return b"".join(key + count.to_bytes(4, "big") + since.to_bytes(4, "big") for key, count, since in entries)
