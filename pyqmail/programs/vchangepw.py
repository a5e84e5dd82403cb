"""vchangepw: let a user of a virtual domain change his password.

    vchangepw

Asks for the address, the old password and, twice, the new one. Exit codes: 0 changed; 3 the old password is wrong, or
there is no such user; 225 to 255 vpopmail's errors, told on standard output; 111 a temporary trouble.

**Security**: run with the rights of the domain's owner; what it reads is from a stranger until the password is right.
A wrong password and an unknown user take the same time, and a pause; they count among the failed logins of all
services (control/loginfailures), and are logged. Source: vpopmail.
"""
import os
import time

from ..auth import failures, hashes
from ..base import netio
from ..base.syslog import Syslog
from ..vpopmail import accounts, assign, command, flags, limits, login, names, users
from ..vpopmail.errors import Refused
from ..vpopmail.names import BadName

AUTH, DEBUG, NOTICE = 4, 7, 5           # syslog's facility and priorities
WRONG = 3                               # exit code
PAUSE = 3                               # s after a wrong password


def main(argv):
    return command.answer(change)


def change():
    os.umask(0o077)
    netio.write_all(1, b"Please enter the email address: ")
    try:
        address = names.lower(command.read_line(0).strip())
        command.say(address)
        old = command.ask(b"Enter old password: ")
        log = Syslog(b"vchangepw", AUTH)
        found = authenticated(address, old)
        if found is None:
            log.send(NOTICE, b"User <%b> gave a wrong password" % printable(address))
            time.sleep(PAUSE)
            command.say(b"Error: authentication failed!")
            return WRONG
        domain, account = found
        if limits.effective(domain, account) & flags.NO_PASSWD_CHNG:
            raise Refused("ILLEGAL_USERNAME")
        new = command.ask_password(address)
    except EOFError:
        command.say(b"Error: authentication failed!")
        return WRONG
    if not new:
        command.say(b"Error: No password entered")
        return command.FAILED
    users.change_password(domain, account.name, new)
    log.send(DEBUG, b"User <%b> changed password\n" % printable(address))
    command.say(b"Password successfully changed.")
    return 0


def authenticated(address, password):
    """(Domain, Account) if the password is that of the address; None otherwise."""
    try:
        user, name = names.parse(address)
    except BadName:
        user = name = b""
    who, limit = b"%b@%b" % (user, name), login.allowed()
    if failures.too_many(who, b"", limit):
        hashes.spend(password, login.setting())
        return None
    domain = assign.find(name) if name else None
    account = accounts.store(domain).get(user) if domain and user else None
    if account is None or not hashes.usable(account.hash):
        hashes.spend(password, login.setting())
        fits = False
    else:
        fits = hashes.matches(password, account.hash)
    if not fits:
        failures.note(who, b"", limit)
    return (domain, account) if fits else None


def printable(address):
    return bytes(byte if 32 < byte < 127 else ord("?") for byte in address)
