"""vuserinfo: show a user, or all users of a domain.

    vuserinfo [-v] [-a] [-n] [-p] [-u] [-g] [-c] [-C] [-d] [-q] [-Q] [-l] user@domain | -D domain

Options: bare values of name, hash, clear password, uid field, flags, comment, directory, quota, usage, last login,
in this order. Exit codes: 0; 255 no such user, usage; 220 no limits file; 111 a temporary trouble.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
import os
import time

from ..base import maildirsize
from ..base.errors import Temporary
from ..vpopmail import accounts, assign, command, flags, home, limits, names, quotas, users
from ..vpopmail.place import Inside, within

USAGE = """\
vuserinfo: usage: [options] email_address
options: -v (print version number)
         -a (display all fields, this is the default)
         -n (display name field)
         -p (display crypted password)
         -u (display uid field)
         -g (display gid field)
         -c (display comment field)
         -d (display directory)
         -q (display quota field)
         -Q (display quota usage)
         -C (display clear text password)
         -l (display last authentication time)
         -D domainname (show all users on this domain)
"""
ORDER = b"npCugcdqQl"


def main(argv):
    return command.answer(run, command.Options(argv, b"vanpugcCdqQlD:"))


def run(options):
    given = dict(options.found)
    if options.bad or not options.rest and b"D" not in given:
        return command.usage(USAGE)
    fields = [] if b"a" in given else [letter for letter in map(bytes, zip(ORDER)) if letter in given]
    if b"D" in given:
        domain = assign.find(names.lower(given[b"D"]))
        for account in accounts.store(domain).all() if domain else ():
            show(domain, account, fields)
        return 0
    target = names.lower(options.rest[0])
    user, name = names.parse(target)
    domain = assign.find(name)
    account = accounts.store(domain).get(user) if domain else None
    if account is None:
        command.say(b"no such user ", target)
        return command.FAILED
    show(domain, account, fields)
    return 0


def show(domain, account, fields):
    for letter in fields:
        if letter == b"l":
            show_login(domain, account)
        else:
            command.say(value(domain, account, letter))
    if fields:
        return
    command.say(b"name:   ", account.name)
    command.say(b"passwd: ", account.hash)
    command.say(b"clear passwd: ", account.clear)
    command.say(b"comment/gecos: ", account.comment)
    command.say(b"uid:    %d" % account.uidfield)
    command.say(b"gid:    %d" % account.flags)
    show_flags(domain, account)
    command.say(b"dir:       ", account.directory)
    command.say(b"quota:     ", account.quota)
    command.say(b"usage:     ", usage(domain, account))
    show_login(domain, account)


def value(domain, account, letter):
    if letter == b"Q":
        return usage(domain, account)
    return {b"n": account.name, b"p": account.hash, b"C": account.clear, b"u": b"%d" % account.uidfield,
            b"g": b"%d" % account.flags, b"c": account.comment, b"d": account.directory, b"q": account.quota}[letter]


def show_flags(domain, account):
    effective = limits.effective(domain, account)
    command.say(b"flags:  %d" % effective)
    command.say(b"gecos: ", account.comment)
    if not effective:
        command.say(b"limits: No user limits set.")
        return
    command.say(b"limits:")
    for flag, text in flags.TEXTS:
        if effective & flag:
            command.say(b"        ", text, b"" if account.flags & flag else b" (*)")
    if effective & ~account.flags:
        command.say(b"        * = set by domain-wide limits")


def usage(domain, account):
    """How full the Maildir is, in percent of the quota; NOQUOTA without one."""
    if not quotas.limits(account.quota):
        return quotas.NONE
    with Inside(domain):
        directory = within(domain, account.directory) + b"/Maildir"
        if not os.path.isdir(directory):
            return b"0%"
        found = maildirsize.usage(directory, account.quota)
    return b"%d%%" % maildirsize.parse(account.quota).percent(found)


def show_login(domain, account):
    if not home.enabled(b"auth-logging"):
        return
    try:
        found = users.last_login(domain, account)
    except (Temporary, OSError):
        found = None
    if found is None:
        command.say(b"last auth: Never logged in")
        return
    when, address = found
    date = time.asctime(time.localtime(when)).encode()
    if address == users.NEVER:
        command.say(b"account created: ", date)
        command.say(b"last auth: Never logged in")
    else:
        command.say(b"last auth: ", date)
        command.say(b"last auth ip: ", address)
