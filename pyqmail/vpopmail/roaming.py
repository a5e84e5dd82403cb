"""Roaming users (POP before SMTP): who has just read his mail may relay from the same address for a while.

etc/open-smtp holds the addresses:

    IP:allow,RELAYCLIENT="",RBLSMTPD=""<TAB>SECONDS SINCE 1970

and FILE.cdb, which the SMTP server asks (tcpserver's -x), is made of the fixed rules in FILE (etc/tcp.smtp unless
VPOPHOME/options says otherwise) and these lines. An address that is already there only gets a new time, and no new
table. Logins from many new addresses at once share one: whoever comes while a table is made waits for the next
one, at most a moment. So a login that was answered is effective, and tables are made BETWEEN seconds apart at least.
Source: vpopmail, tcprules(1).
"""
import fcntl
import os
import time

from ..base import cdb, errors, tcprules
from ..base.deadline import Deadline, Expired
from ..base.errors import Permanent, Temporary
from . import files, home

RULE = b':allow,RELAYCLIENT="",RBLSMTPD=""\t'
PATIENCE = 20                       # s to wait for others who change the same file
BETWEEN = 0.25                      # s between two tables
FRESH = 60                          # s; the last line's time is not brought up to date within them
MODE = 0o644
ADDRESS = b"0123456789abcdefABCDEF.:"


class Lock:
    """with Lock(path): vpopmail's lock on PATH.lock, waiting in line. Raises Temporary after PATIENCE seconds."""

    def __init__(self, path):
        self._path = path + b".lock"

    def __enter__(self):
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
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
    if not ip or ip.strip(ADDRESS):
        return                          # no address of a network client
    now = int(time.time()) if now is None else now
    with Lock(table()):
        if not enter(ip, now):
            return
        entered = time.time_ns()
    make_table(entered)


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


def save(lines):
    data = b"".join(line + b"\n" for line in lines)
    files.replace(table(), data, MODE, b"%b.tmp.%d" % (table(), os.getpid()))


def expire(now=None):
    """Take away the addresses whose time is over, and lines without a time; then make the table anew."""
    now = int(time.time()) if now is None else now
    keep = 60 * int(home.option(b"relay-clear-minutes"))
    with Lock(table()):
        text = files.read(table())
        if text is not None:
            save([line for line in text.split(b"\n") if when(line) is not None and when(line) + keep > now])
            give(table())
    make_table(None)


def make_table(entered):
    """Make FILE.cdb anew, unless one was begun after `entered` (nanoseconds; None: in any case)."""
    path = rules() + b".cdb"
    with Lock(path):
        if entered is not None and not wait_turn(path, entered):
            return
        began = time.time_ns()
        records = list(tcprules.compile_rules(source()))
        temporary = b"%b.tmp.%d" % (rules(), os.getpid())
        files.remove(temporary)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        try:
            os.fchmod(fd, MODE)
            cdb.write(fd, records)
            os.utime(fd, ns=(began, began))     # what was entered before this moment is in it
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
        give(temporary)
        os.rename(temporary, path)


def wait_turn(path, entered):
    """Wait until the table is old enough for a new one; False if it has what was entered."""
    try:
        made = os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return True
    if made >= entered:
        return False
    age = (time.time_ns() - made) / 1e9
    if 0 <= age < BETWEEN:
        time.sleep(BETWEEN - age)
    return True


def source():
    """The rules that the table is made of: FILE, then every line up to its tab."""
    lines = (files.read(table()) or b"").split(b"\n")
    roaming = b"".join(line.partition(b"\t")[0] + b"\n" for line in lines if line)
    return (files.read(rules()) or b"").removesuffix(b"\n") + b"\n" + roaming


def give(path):
    """The file is vpopmail's, as far as that is ours to say."""
    if os.geteuid() == 0:
        os.chown(path, *home.ids())


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
