"""vmoduser: change the record of a user, or of every user of a domain.

    vmoduser [-v] [-n] [-x] [-q quota] [-c comment] [-e hash] [-C password] [-D dir] [flags] user@domain | domain

-x clears the flags before those given are added (the usage text names them; -S and -E only for root). -C sets hash
and clear password, -e the hash as it is. -n leaves vpasswd.cdb as it is. Exit codes: 0 done, also for an
unknown domain without user; 225 to 255 vpopmail's errors, told on standard output; 111 a temporary trouble.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
import os

from ..vpopmail import accounts, assign, command, flags, names, onchange, passwords, quotas, users
from ..vpopmail.errors import Refused

USAGE = """\
vmoduser: usage: [options] email_addr or domain (for each user in domain)
options: -v ( display the vpopmail version number )
         -n ( don't rebuild the vpasswd.cdb file )
         -q quota ( set quota )
         -c comment (set the comment/gecos field )
         -e encrypted_passwd (set the password field )
         -C clear_text_passwd (set the password field )
the following options are bit flags in the gid int field
         -x ( clear all flags )
         -d ( don't allow user to change password )
         -p ( disable POP access )
         -s ( disable SMTP AUTH access )
         -w ( disable webmail [IMAP from localhost*] access )
            ( * full list of webmail server IPs in vchkpw.c )
         -i ( disable non-webmail IMAP access )
         -b ( bounce all mail )
         -o ( user is not subject to domain limits )
         -r ( disable roaming user/pop-before-smtp )
         -a ( grant qmailadmin administrator privileges )
         -S ( grant system administrator privileges - access all domains )
         -E ( grant expert privileges - edit .qmail files )
         -f ( disable spamassassin)
         -F ( delete spam)
         -m ( disable maildrop)
  [The following flags aren't used directly by vpopmail but are]
  [included for other programs that share the user database.]
         -u ( set no dialup flag )
         -0 ( set V_USER0 flag )
         -1 ( set V_USER1 flag )
         -2 ( set V_USER2 flag )
         -3 ( set V_USER3 flag )
"""


def main(argv):
    return command.answer(modify, command.Options(argv, b"vnxq:c:e:C:D:hdpswibofFmraSEu0123"))


def modify(options):
    os.umask(0o077)
    given = dict(options.found)
    if b"h" in given:
        return command.usage(USAGE, 0)
    if not options.rest:
        return command.usage(USAGE)
    target = names.lower(options.rest[0])
    change = changes(given)
    if b"@" not in target:
        domain = assign.find(target)
        if domain is None:
            return 0
        store = accounts.store(domain)
        store.change_all(change, stale=b"n" in given)
        changed = store.all()
    else:
        user, name = names.parse(target)
        domain = assign.find(name)
        store = accounts.store(domain) if domain else None
        if store is None or store.get(user) is None:
            command.say(b"no such user ", target)
            return command.FAILED
        store.change(user, change, stale=b"n" in given)
        changed = [store.get(user)]
    for account in changed:
        if b"q" in given:
            quotas.apply(domain, account)
        if b"C" in given or b"e" in given:
            users.write_sqwebmail(domain, account)
    onchange.tell(b"mod_user", target)
    return 0


def changes(given):
    """A function that changes an Account as the options say. Raises Refused."""
    users.check_fields(given.get(b"C", b""), given.get(b"c", b""), given.get(b"e", b""))
    directory = given.get(b"D")
    if directory is not None and (b":" in directory or b"\n" in directory or not directory.startswith(b"/")):
        raise Refused("BAD_CHARACTER")
    if directory is not None and len(directory) > names.DIRECTORY:
        raise Refused("DIR_TOO_LONG")
    quota = quotas.normal(given[b"q"]) if b"q" in given else None
    hashed = passwords.make(given[b"C"]) if b"C" in given else None
    added = 0
    for letter in given.keys() & flags.LETTERS.keys():
        if letter not in flags.ROOT_ONLY or os.getuid() == 0:
            added |= flags.LETTERS[letter]

    def change(account):
        account.flags = (0 if b"x" in given else account.flags) | added
        if quota is not None:
            account.quota = quota
        account.comment = given.get(b"c", account.comment).replace(b":", b"")
        account.directory = account.directory if directory is None else directory
        account.hash = given.get(b"e", account.hash)
        if hashed is not None:
            account.hash, account.clear = hashed, passwords.kept(given[b"C"])
    return change
