"""vdeluser: remove a user of a virtual domain and his mail.

    vdeluser [-v] user@domain

The account that gets the mail for unknown users stays (201). Files .qmail-USER of the domain stay. Exit codes:
0 done; 201 to 255 vpopmail's errors, told on standard output; 111 a temporary trouble.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
import os

from ..vpopmail import command, names, users

USAGE = """\
vdeluser: usage: [options] email_address
options: -v (print version number)
"""


def main(argv):
    return command.answer(remove, command.Options(argv, b"v"))


def remove(options):
    os.umask(0o077)
    if not options.rest:
        return command.usage(USAGE)
    user, name = names.parse(options.rest[0])
    users.delete(users.find_domain(name), user)
    return 0
