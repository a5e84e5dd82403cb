"""checkpassword: check a password, become its user, run a program.

    checkpassword PROGRAM [ARGUMENT …]      login on descriptor 3

Reads name NUL password NUL timestamp NUL (at most 512 bytes) from descriptor 3. If they fit, sets
the groups, gid and uid of that user, HOME, SHELL and USER, goes to his home directory and executes
PROGRAM, looked up along PATH. Exit codes: 1 wrong or refused, 2 misused, 111 temporary trouble.

System accounts are asked through PAM, or compared with /etc/shadow where there is no PAM; in a
private home only its user can log in, with the password of users/poppasswd. APOP cannot work
with either, as both keep hashes only: exit 1. Refusals are logged (mail.notice) and, after too many for the name or
for the client's address (TCPREMOTEIP), nothing is compared for a while: see control/loginfailures.

**Security**: started by root (qmail-popup), reads at most 512 bytes that come from a stranger;
uid 0, locked, expired and password-less accounts are refused. Everything after it runs as the user.
Source: checkpassword(8), the checkpassword interface.
"""
import errno
import os

from ..auth import accounts, checkpassword, failures
from ..base import child, errors
from ..base.syslog import Syslog

NOTICE = 5                          # syslog's priority
SHOWN = 100                         # bytes of a name in the log


def main(argv):
    if not argv:
        return checkpassword.MISUSED
    client = os.environb.get(b"TCPREMOTEIP", b"").removeprefix(b"::ffff:")
    try:
        data = checkpassword.receive()
        if data is None:
            return checkpassword.WRONG      # longer than any login
        name, password = checkpassword.decode(data)
        account = accounts.login(name, password, client)
    except failures.TooMany:
        log(b"too many failed logins", name, client)
        return checkpassword.WRONG
    except checkpassword.Misused:
        return checkpassword.MISUSED
    except OSError as why:
        if why.errno == errno.EBADF:
            return checkpassword.MISUSED
        raise
    if account is None:
        log(b"password fail", name, client)
        return checkpassword.WRONG
    environment = {**child.environment(), **checkpassword.become(account)}
    try:
        child.execute(argv, environment)
    except OSError as why:
        errors.say("checkpassword: fatal: unable to run ", argv[0], ": ", errors.text(why))
    return checkpassword.TROUBLE


def log(what, name, client):
    line = b"%b %b:%b" % (what, name[:SHOWN], client[:SHOWN])
    clean = bytes(byte if 32 <= byte <= 126 else ord("_") for byte in line)
    Syslog(b"checkpassword[%d]" % os.getpid()).send(NOTICE, clean)
