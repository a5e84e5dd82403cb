"""vdeloldusers: find, and delete, users who have not logged in for long.

    vdeloldusers [-v] [-V] [-D] [-a days] -d domain | -e

Of one domain or of every one (-e). Old is who did not log in for 180 days, or -a's. Without -D nobody is deleted.
postmaster and users without a record of their last login stay. Exit codes: 0 done; 255 usage, version, auth logging
is off; 245 no such domain; 111 a temporary trouble.

**Security**: run by root; works as the domain's owner inside each domain. Source: vpopmail.
"""
import os
import time

from ..base import number
from ..vpopmail import accounts, assign, command, home, names, users
from ..vpopmail.errors import Refused

USAGE = """\
vdeloldusers: usage: [options] -d domain | -e
options: -a age_in_days (will default to 180 days)
         -d domain (process this domain)
         -e (process every domain)
         -D (delete the users found)
         -V (verbose)
         -v (print version number)
"""
POSTMASTER = b"postmaster"
DAYS, DAY = 180, 86_400


def main(argv):
    return command.answer(run, command.Options(argv, b"vVDea:d:"))


def run(options):
    os.umask(0o077)
    given = dict(options.found)
    if b"v" in given:
        return command.FAILED
    if options.bad:
        return command.usage(USAGE)
    if b"e" not in given and b"d" not in given:
        command.say(b"error: you must supply either the -e or -d [domain] options")
        return command.FAILED
    if not home.enabled(b"auth-logging"):
        command.say(b"auth logging was not enabled, reconfigure with --enable-auth-logging=y")
        return command.FAILED
    if b"e" in given:
        domains = [domain for domain in assign.everyone() if not domain.alias]
    else:
        domains = [users.find_domain(names.lower(given[b"d"]))]
    days = number.leading(given.get(b"a", b""))[0]
    before = time.time() - (DAYS if days is None else days) * DAY
    found = sum(each(domain, before, b"D" in given, b"V" in given) for domain in domains)
    if not found:
        command.say(b"no old users found")
    elif b"D" not in given:
        command.say(b" ** no users were deleted  **")
        command.say(b" ** use -D to delete users **")
    return 0


def each(domain, before, delete, verbose):
    """Handle the old users of a domain; how many there are."""
    found = 0
    for account in accounts.store(domain).all():
        address = b"%b@%b" % (account.name, domain.real)
        if account.name == POSTMASTER:
            if verbose:
                command.say(b"skipping ", address)
            continue
        login = users.last_login(domain, account)
        if login is None or login[0] >= before:
            continue
        found += 1
        if verbose or not delete:
            command.say(address)
        if delete:
            try:
                users.delete(domain, account.name)
            except Refused as why:
                command.complain(address, b": ", str(why).encode())
    return found
