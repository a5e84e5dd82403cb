"""checkpassword: check a password, become its user, run a program.

    checkpassword PROGRAM [ARGUMENT …]      login on descriptor 3

Reads name NUL password NUL timestamp NUL (at most 512 bytes) from descriptor 3. If they fit, sets
the groups, gid and uid of that user, HOME, SHELL and USER, goes to his home directory and executes
PROGRAM, looked up along PATH. Exit codes: 1 wrong or refused, 2 misused, 111 temporary trouble.

System accounts are asked through PAM, or compared with /etc/shadow where there is no PAM; in a
private home only its user can log in, with the password of users/poppasswd. APOP cannot work
with either, as both keep hashes only: exit 1.

**Security**: started by root (qmail-popup), reads at most 512 bytes that come from a stranger;
uid 0, locked, expired and password-less accounts are refused. Everything after it runs as the user.
Source: checkpassword(8), the checkpassword interface.
"""
import errno

from ..auth import accounts, checkpassword
from ..base import child, errors


def main(argv):
    if not argv:
        return checkpassword.MISUSED
    try:
        data = checkpassword.receive()
        if data is None:
            return checkpassword.WRONG      # longer than any login
        account = accounts.authenticate(*checkpassword.decode(data))
    except checkpassword.Misused:
        return checkpassword.MISUSED
    except OSError as why:
        if why.errno == errno.EBADF:
            return checkpassword.MISUSED
        raise
    if account is None:
        return checkpassword.WRONG
    environment = {**child.environment(), **checkpassword.become(account)}
    try:
        child.execute(argv, environment)
    except OSError as why:
        errors.say("checkpassword: fatal: unable to run ", argv[0], ": ", errors.text(why))
    return checkpassword.TROUBLE
