"""vadduser: make a user of a virtual domain.

    vadduser [-v] [-q quota] [-c comment] [-e hash] [-n] [-r[len]] [-s] user@domain [password]
    vadduser [-v] [-q quota] [-E] -F file domain

Makes the account, the user's directory with a Maildir and, if a quota applies, maildirsize. Without -q the domain's
default quota holds; -e stores a hash as it is, -n no password, -r a random one that is told. The password is asked
for unless given.

-F makes many users, one of each line NAME:PASSWORD[:COMMENT[:QUOTA]] of the file (or with tabs in place of the colons);
an empty password is none, with -E it is a hash. A line that starts with # is none. Who is there already stays as he is
and is told of; so after a crash the same file makes the rest. On a terminal a bar shows how far it is. Exit codes: 0
done; 220 to 255 vpopmail's errors, told on standard output; 111 a temporary trouble.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
import os

from ..vpopmail import assign, command, names, quotas, users
from ..vpopmail.errors import Refused

USAGE = """\
vadduser: usage: [options] email_address [passwd]
options: -v (print the version)
         -q quota_in_bytes (sets the users quota, use NOQUOTA for unlimited)
         -c comment (sets the gecos comment field)
         -e standard_encrypted_password
         -n no_password
         -r[len] (generate a len (default 8) char random password)
"""


def main(argv):
    return command.answer(add, command.Options(argv, b"vq:c:e:nr::sEF:"))


def add(options):
    os.umask(0o077)
    given = dict(options.found)
    if b"s" in given:
        command.complain(b"Warning: The -s option has been temporarily disabled.")
    if not options.rest or not options.rest[0]:
        return command.usage(USAGE)
    if b"F" in given:
        return add_many(options.rest[0], given)
    user, name = names.parse(options.rest[0])
    if not name:
        command.say(b"You did not use a full email address for the user name")
        command.say(b"Only full email addresses should be used")
        return command.FAILED
    domain = assign.find(name)
    if domain is None:
        command.say(b"Error: ", str(Refused("DOMAIN_DOES_NOT_EXIST")).encode())
        return command.FAILED
    users.check_name(user)
    clear = password(options, given)
    if clear is None:
        command.say(b"Error: No password entered")
        return command.usage(USAGE)
    try:
        users.add(domain, user, clear, given.get(b"c"), quotas.normal(given[b"q"]) if b"q" in given else None,
                  given.get(b"e"))
    except Refused as why:
        if why.name != "USERNAME_EXISTS":
            raise
        command.say(b"Error: User already exists")
        return command.FAILED
    return 0


def add_many(name, given):
    """-F: users from a file."""
    from ..vpopmail import bulk         # only here
    from ..vpopmail.progress import Bar
    domain = users.find_domain(names.lower(name))
    wanted = bulk.read(given[b"F"], b"E" in given, given.get(b"q"))
    refused, status = 0, 0
    with Bar(len(wanted)) as bar:
        for user, why in bulk.add(domain, wanted, bar):
            command.complain(user, b": ", str(why).encode())
            refused, status = refused + 1, why.status
    command.say(b"%d users added" % (len(wanted) - refused))
    return status


def password(options, given):
    """The clear password, b"" where none is wanted, None if none was entered."""
    if b"e" in given or b"n" in given:
        return b""
    if b"r" in given:
        return command.random_password(given[b"r"])
    if len(options.rest) > 1:
        return options.rest[1] or None
    return command.ask_password(names.lower(options.rest[0])) or None
