"""vpasswd: give a user of a virtual domain another password.

    vpasswd [-v] [-r[len]] user@domain [password]

The password is asked for unless given; -r makes a random one and tells it. Exit codes: 0 done; 225 to 255
vpopmail's errors, told on standard output; 111 a temporary trouble. Users whose password must not be changed
(vmoduser -d) are refused.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
import os

from ..vpopmail import accounts, assign, command, flags, limits, names, users
from ..vpopmail.errors import Refused

USAGE = """\
vpasswd: usage: [options] email_address [password]
options: -v (print version number)
         -r generate a random password
"""


def main(argv):
    return command.answer(change, command.Options(argv, b"vr::"))


def change(options):
    os.umask(0o077)
    if not options.rest:
        return command.usage(USAGE)
    user, name = names.parse(options.rest[0])
    given = dict(options.found)
    if b"r" in given:
        clear = command.random_password(given[b"r"])
    else:
        clear = options.rest[1] if len(options.rest) > 1 else command.ask_password(names.lower(options.rest[0]))
    domain = assign.find(name)
    account = accounts.store(domain).get(user) if domain else None
    if account is None or limits.effective(domain, account) & flags.NO_PASSWD_CHNG:
        raise Refused("ILLEGAL_USERNAME")
    users.change_password(domain, user, clear)
    return 0
