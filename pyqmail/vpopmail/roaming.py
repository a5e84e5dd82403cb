"""Roaming users (POP before SMTP): who has just read his mail may relay from the same address for a while.

etc/open-smtp holds the addresses:

    IP:allow,RELAYCLIENT="",RBLSMTPD=""<TAB>SECONDS SINCE 1970

and FILE.cdb, which the SMTP server asks (tcpserver's -x), is made of the fixed rules in FILE (etc/tcp.smtp unless
VPOPHOME/options says otherwise) and these lines. An address that is already there only gets a new time, and no new
table. Logins from many new addresses at once share one: whoever comes while a table is made waits for the next
one, at most a moment, and finds that somebody made it for him or makes it himself. So a login that was answered is
effective, and tables are made BETWEEN seconds apart at least. An address that is in open-smtp but not in the table (the
login that should have made it was killed, somebody ran tcprules by hand) gets there with its next login.
Source: vpopmail, tcprules(1).
"""
import fcntl
import os
import time

import _socket                      # the `socket` module costs 6 ms at start

from ..base import cdb, errors, filemark, netio, tcprules
from ..base.clock import AHEAD
from ..base.deadline import Deadline, Expired
from ..base.errors import Permanent, Temporary
from . import files, home

RULE = b':allow,RELAYCLIENT="",RBLSMTPD=""\t'
PATIENCE = 20                       # s to wait for others who change the same file
BETWEEN = 0.25                      # s between two tables
FRESH = 60                          # s; the last line's time is not brought up to date within them
MODE = 0o644
DIGITS = 9                          # of relay-clear-minutes


class Lock:
    """with Lock(path): vpopmail's lock on PATH.lock, waiting in line. The file is vpopmail's whoever makes it: not
    every program that needs it is run by root. Raises Temporary after PATIENCE seconds."""

    def __init__(self, path):
        self._path = path + b".lock"

    def __enter__(self):
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.geteuid() == 0:
                os.fchown(self._fd, *home.ids())
            with Deadline(PATIENCE):
                fcntl.lockf(self._fd, fcntl.LOCK_EX)
        except Expired:
            os.close(self._fd)
            raise Temporary("File busy try again later!") from None
        except BaseException:
            os.close(self._fd)
            raise

    def __exit__(self, *problem):
        os.close(self._fd)


def table():
    """The addresses' file."""
    return home.path(b"etc", b"open-smtp")


def rules():
    """The fixed rules; FILE.cdb is what the SMTP server reads."""
    return home.option(b"tcpserver-file") or home.path(b"etc", b"tcp.smtp")


def open_relay(ip, now=None):
    """Somebody at `ip` (bytes) has logged in. Raises OSError, Temporary; Permanent if FILE is no table of rules."""
    ip = network_client(ip)
    if ip is None:
        return
    now = int(time.time()) if now is None else now
    before = filemark.of(compiled())
    with Lock(table()):
        new = enter(ip, now)
    if new or listed(ip) is False:
        make_table(ip, before if new else None)


def network_client(ip):
    """The address as TCPREMOTEIP has it; None for what is none."""
    kind = _socket.AF_INET6 if b":" in ip else _socket.AF_INET
    try:
        found = _socket.inet_ntop(kind, _socket.inet_pton(kind, ip.decode("ascii"))).encode()
    except (OSError, UnicodeDecodeError, ValueError):
        return None
    return found.removeprefix(tcprules.MAPPED) if b"." in found else found


def compiled():
    """What the SMTP server reads."""
    return rules() + b".cdb"


def listed(ip):
    """True if FILE.cdb has a rule for this very address, None if there is no FILE.cdb."""
    try:
        return cdb.find(compiled(), ip) is not None
    except FileNotFoundError:
        return None
    except Temporary:
        return False                    # it is broken: to be made anew


def enter(ip, now):
    """Put the line of `ip` at the end of the file; True if the address was not there yet."""
    lines = (files.read(table()) or b"").split(b"\n")
    lines = [line for line in lines if line]
    if lines and of(lines[-1], ip) and 0 <= now - when(lines[-1], 0) < FRESH:
        return False
    others = [line for line in lines if not of(line, ip)]
    others.append(b"%b%b%d" % (ip, RULE, now))
    save(others)
    return len(others) > len(lines)


def of(line, ip):
    return line.startswith(ip + b":") and line[len(ip) + 1:].startswith((b"allow", b"deny"))


def when(line, otherwise=None):
    """The time of a line, `otherwise` if it has none."""
    _, tab, seconds = line.rpartition(b"\t")
    return int(seconds) if tab and seconds.isdigit() and len(seconds) < 19 else otherwise


def save(lines, owner=None):
    """The file anew. It is not worth a sync, which a burst of logins would wait for: after a crash people log in
    again. owner: (uid, gid), root's if None."""
    temporary = b"%b.tmp.%d" % (table(), os.getpid())
    fd = new_file(temporary, owner)
    try:
        netio.write_all(fd, b"".join(line + b"\n" for line in lines))
        os.rename(temporary, table())
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)


def new_file(path, owner):
    files.remove(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    os.fchmod(fd, MODE)
    if owner and os.geteuid() == 0:
        os.fchown(fd, *owner)
    return fd


def expire(now=None):
    """Take away the addresses whose time is over, or more than a day ahead (a clock that was wrong must not open the
    relay for years), and lines without a time; then make the table anew. Raises Permanent if VPOPHOME/options says no
    number of minutes."""
    now = int(time.time()) if now is None else now
    minutes = home.option(b"relay-clear-minutes")
    if not minutes.isdigit() or len(minutes) > DIGITS:
        raise Permanent("relay-clear-minutes in VPOPHOME/options must be a number of minutes")
    keep = 60 * int(minutes)
    with Lock(table()):
        text = files.read(table())
        if text is not None:
            save([line for line in text.split(b"\n") if now - keep < when(line, now - keep) <= now + AHEAD], home.ids())
    make_table()
    files.sync_directory(os.path.dirname(compiled()))       # the fixed rules may be new


def make_table(ip=None, before=None):
    """Make FILE.cdb anew. For the address `ip`: unless it has got there by now; before: the mark of a FILE.cdb which
    does not count for that."""
    with Lock(compiled()):
        if ip is not None:
            if filemark.of(compiled()) != before and listed(ip):
                return
            wait_turn()
        records = list(tcprules.compile_rules(source()))
        temporary = b"%b.tmp.%d" % (rules(), os.getpid())
        fd = new_file(temporary, home.ids())
        try:
            cdb.write(fd, records)
            os.rename(temporary, compiled())
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)


def wait_turn():
    """Wait until the table is old enough for a new one."""
    try:
        age = time.time() - os.stat(compiled()).st_mtime
    except FileNotFoundError:
        return
    if 0 <= age < BETWEEN:
        time.sleep(BETWEEN - age)


def source():
    """The rules that the table is made of: FILE, then every line up to its tab."""
    lines = (files.read(table()) or b"").split(b"\n")
    roaming = b"".join(line.partition(b"\t")[0] + b"\n" for line in lines if line)
    return (files.read(rules()) or b"").removesuffix(b"\n") + b"\n" + roaming


def try_open(ip):
    """open_relay(), but a login goes on whatever happens to it: what went wrong is said on descriptor 2."""
    try:
        open_relay(ip)
    except (Permanent, Temporary) as why:
        errors.say("tcprules: fatal: ", str(why))
    except OSError as why:
        errors.say("tcprules: fatal: ", errors.text(why))
    else:
        return
    errors.say("Warning: update_rules() - tcprules failed")
