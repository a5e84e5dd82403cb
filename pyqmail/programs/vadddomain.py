"""vadddomain: make a virtual domain.

    vadddomain [-v] [-q quota] [-b] [-e address] [-u user] [-d dir] [-i uid] [-g gid] [-O] [-r[len]] domain [password]

Makes DIR/domains/DOMAIN (DIR is VPOPHOME, -d's, or the home of -u's user) for uid:gid, tells qmail about it
(users/assign and cdb, control/rcpthosts or morercpthosts, virtualdomains, locals), makes the user postmaster and
lets qmail-send read its control files again (not with -O). Mail for unknown users bounces, or goes where -e says:
to an address, or into the mailbox of that name. What a crash left half made is completed by the same command.

Exit codes: 0 done (and for the usage text); 228 to 255 vpopmail's errors (see vpopmail/errors.py), told on
standard output; 111 a temporary trouble.

**Security**: run by root; works as the domain's owner inside the domain. Source: vpopmail.
"""
import os

from ..base import number
from ..vpopmail import assign, command, domains, home, names, quotas, users
from ..vpopmail.errors import Refused

USAGE = """\
vadddomain: usage: vadddomain [options] virtual_domain [postmaster password]
options: -v prints the version
         -q quota_in_bytes (sets the quota for postmaster account)
         -b (bounces all mail that doesn't match a user, default)
         -e email_address (forwards all non matching user to this address [*])
         -u user (sets the uid/gid based on a user in /etc/passwd)
         -d dir (sets the dir to use for this domain)
         -i uid (sets the uid to use for this domain)
         -g gid (sets the gid to use for this domain)
         -O optimize adding, for bulk adds set this for all
            except the last one
         -r[len] (generate a len (default 8) char random postmaster password)

 [*] omit @-sign to deliver directly into user's Maildir: '-e postmaster'

Special bounce messages supported by vdeliver mail:
   vadddomain -b delete example.com [password]  -  delete all mail to non-existant accounts
   vadddomain -b bounce-no-mailbox example.com [password] - bounce them 
   vadddimain -b someone@somewhere.com example.com [password] - sent to another address
   vadddomain -b /path/to/Maildir example.com [password] - sent to a Maildir
"""


def main(argv):
    return command.answer(add, command.Options(argv, b"vq:be:u:d:i:g:Or::"))


def add(options):
    os.umask(0o077)
    given = dict(options.found)
    if not options.rest:
        return command.usage(USAGE, 0)
    name, clear = names.lower(options.rest[0]), options.rest[1] if len(options.rest) > 1 else None
    try:
        base, uid, gid = owner(given)
    except KeyError:
        command.say(b"Error: user ", given[b"u"], b" not found in /etc/passwd")
        return command.FAILED
    domains.check_new(name)
    unknown = given.get(b"e", domains.BOUNCE)
    if b"@" in unknown:
        names.parse(unknown)            # it becomes part of a command line
    elif not names.valid_user(unknown):
        raise Refused("BAD_CHARACTER")
    quota = quotas.normal(given[b"q"]) if b"q" in given else None
    if b"r" in given:
        clear = command.random_password(given[b"r"])
    elif clear is None:
        clear = command.ask_password(b"postmaster")
    users.check_fields(clear)
    domain = domains.add(name, base, uid, gid, unknown, tell=b"O" not in given)
    try:
        users.add(domain, b"postmaster", clear, b"Postmaster", quota)
    except Refused as why:
        command.say(b"Error: (vadduser) ", str(why).encode())
        return why.status
    return 0


def owner(given):
    """(DIR, uid, gid) as the options have it. Raises KeyError for an unknown user."""
    base, (uid, gid) = home.vpophome(), home.ids()
    if b"u" in given:
        import pwd                      # only for domains of other users
        entry = pwd.getpwnam(os.fsdecode(given[b"u"]))
        base, uid, gid = os.fsencode(entry.pw_dir), entry.pw_uid, entry.pw_gid
    uid = number.leading(given[b"i"])[0] if b"i" in given else uid
    gid = number.leading(given[b"g"])[0] if b"g" in given else gid
    if not uid or not gid or max(uid, gid) > assign.LARGEST_ID:     # qmail-lspawn delivers nothing as root
        raise Refused("BAD_UID")
    return given.get(b"d", base).rstrip(b"/"), uid, gid
