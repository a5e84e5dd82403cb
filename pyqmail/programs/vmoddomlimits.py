"""vmoddomlimits: show and change what a domain allows.

    vmoddomlimits [-v] [-S] [-D] [options] domain
    vmoddomlimits [-v] -d [-S] [options]

-S shows the limits, -D deletes the domain's own, -d works on the defaults (etc/vlimits.default); the usage text
names the options that set something. Exit codes: 0 done, also for an unknown domain; 227 a quota that is none, 255 usage,
nothing to delete, no limits to read; 111 a temporary trouble.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
from ..base import maildirsize
from ..vpopmail import assign, command, flags, home, limits, names, quotas
from ..vpopmail.errors import Refused

USAGE = """\
vmoddomlimits: usage: [options] domain 
options: -v ( display the vpopmail version number )
         -d ( use the vlimits.default file, instead of domain )
         -S ( show current settings )
         -D ( delete limits for this domain, i.e. switch to default limits)
         -Q quota-in-megabytes ( set domain disk quota, '100' = 100 MB )
         -q quota-in-bytes ( set default user quota, '10M' = 10 MB )
         -M count ( set domain max msg count )
         -m count ( set default user max msg count )
         -P count ( set max amount of pop accounts )
         -A count ( set max amount of aliases )
         -F count ( set max amount of forwards )
         -R count ( set max amount of autoresponders )
         -L count ( set max amount of mailing lists )
the following options are bit flags in the gid int field
         -g "flags"  (set flags, see below)
         gid flags:
            u ( set no dialup flag )
            d ( set no password changing flag )
            p ( set no pop access flag )
            s ( set no smtp access flag )
            w ( set no web mail access flag )
            i ( set no imap access flag )
            r ( set no external relay flag )
            c ( set no spamassasssin flag )
            x ( set delete spam flag )
            m ( set no maildrop flag )
the following options are bit flags for non postmaster admins
         -p "flags"  (set pop account flags)
         -a "flags"  (set alias flags)
         -f "flags"  (set forward flags)
         -r "flags"  (set autoresponder flags)
         -l "flags"  (set mailinglist flags)
         -u "flags"  (set mailinglist users flags)
         -o "flags"  (set mailinglist moderators flags)
         -x "flags"  (set quota flags)
         -z "flags"  (set default quota flags)
         perm flags:
            a ( set deny all flag )
            c ( set deny create flag )
            m ( set deny modify flag )
            d ( set deny delete flag )
"""
NUMBERS = {
    b"Q": b"quota", b"M": b"maxmsgcount", b"m": b"default_maxmsgcount", b"P": b"maxpopaccounts", b"A": b"maxaliases",
    b"F": b"maxforwards", b"R": b"maxautoresponders", b"L": b"maxmailinglists",
}
#  letter of -g, flag, what -S shows, in its order
FLAGS = (
    (b"i", flags.NO_IMAP, b"NO_IMAP"), (b"s", flags.NO_SMTP, b"NO_SMTP"), (b"p", flags.NO_POP, b"NO_POP"),
    (b"w", flags.NO_WEBMAIL, b"NO_WEBMAIL"), (b"d", flags.NO_PASSWD_CHNG, b"NO_PASSWD_CHNG"),
    (b"r", flags.NO_RELAY, b"NO_RELAY"), (b"u", flags.NO_DIALUP, b"NO_DIALUP"),
    (b"c", flags.NO_SPAMASSASSIN, b"NO_SPAMASSASSIN"), (b"x", flags.DELETE_SPAM, b"DEL_SPAM"),
    (b"m", flags.NO_MAILDROP, b"NO_MAILDROP"),
)
#  option, name in the file, first bit, what -S shows, in its order
PERMISSIONS = (
    (b"p", b"perm_account", 0, b"pop account"), (b"a", b"perm_alias", 0, b"alias"),
    (b"f", b"perm_forward", 0, b"forward"), (b"r", b"perm_autoresponder", 0, b"autoresponder"),
    (b"l", b"perm_maillist", 0, b"mailinglist"), (b"u", b"perm_maillist", 3, b"mailinglist users"),
    (b"o", b"perm_maillist", 6, b"mailinglist moderators"), (b"x", b"perm_quota", 0, b"quota"),
    (b"z", b"perm_defaultquota", 0, b"default quota"),
)
DENIED = {b"a": 7, b"c": 1, b"m": 2, b"d": 4}
WORDS = ((1, b"CREATE"), (2, b"MODIFY"), (4, b"DELETE"))


def main(argv):
    return command.answer(run, command.Options(argv, b"vdSDQ:q:M:m:P:A:F:R:L:g:p:a:f:r:l:u:o:x:z:"))


def run(options):
    given = dict(options.found)
    if options.bad or not options.rest and b"d" not in given:
        return command.usage(USAGE)
    if b"d" in given:
        return defaults(given)
    domain = assign.find(names.lower(options.rest[0]))
    if domain is None:
        return 0
    if b"D" in given:
        deleted = limits.delete(domain)
        command.say(b"Limits deleted" if deleted else b"Failed to delete limits")
        return 0 if deleted else command.FAILED
    try:
        found = limits.get(domain)
    except Refused:
        command.say(b"Failed to vget_limits")
        return command.FAILED
    if b"S" in given:
        show(b"Domain: " + domain.real, found)
    if change(found, given):
        limits.put(domain, found)
    return 0


def defaults(given):
    if b"D" in given:
        command.say(b"Default limits must not be deleted. If you really want to do this,\n"
                    b"remove the vlimits.default file.\nBut be warned: this might stop vpopmail from working!!")
        return command.FAILED
    try:
        found = limits.get_default(0)
    except Refused:
        command.say(b"Failed to read the vlimits.default file.")
        return command.FAILED
    if b"S" in given:
        show(b"Default limits: " + home.path(b"etc", limits.DEFAULT), found)
    if change(found, given):
        limits.put_default(found)
    return 0


def change(found, given):
    """Set what the options say; True if they say anything. Raises Refused."""
    changed = False
    for letter, value in given.items():
        if letter in NUMBERS:
            found.numbers[NUMBERS[letter]] = limits.signed(value)
        elif letter == b"q":
            found.numbers[b"default_quota"] = maildirsize.parse(quotas.normal(value)).bytes
        elif letter == b"g":
            found.flags = sum(flag for word, flag, _ in FLAGS if word in value)
        elif letter in (b"v", b"S", b"d"):
            continue
        else:
            set_permission(found.numbers, letter, value)
        changed = True
    return changed


def set_permission(numbers, letter, value):
    _, name, shift, _ = next(entry for entry in PERMISSIONS if entry[0] == letter)
    bits = 0
    for word, denied in DENIED.items():
        bits |= denied if word in value else 0
    numbers[name] = numbers[name] & ~(7 << shift) | bits << shift


def show(title, found):
    numbers = found.numbers
    command.say(title)
    command.say(b"--")
    for text, name in ((b"Pop Accounts", b"maxpopaccounts"), (b"Aliases", b"maxaliases"), (b"Forwards", b"maxforwards"),
                       (b"Autoresponders", b"maxautoresponders"), (b"Mailinglists", b"maxmailinglists")):
        command.say(b"Max %b: %d" % (text, numbers[name]))
    command.say(b"GID Flags:")
    shown = [(letter, text) for letter, flag, text in FLAGS if found.flags & flag]
    for _, text in shown:
        command.say(b"  ", text)
    command.say(b"Flags (for commandline): ", *(letter for letter, _ in shown))
    command.say(b"Flags for non postmaster accounts:")
    for _, name, shift, text in PERMISSIONS:
        denied = numbers[name] >> shift
        words = [b"DENY_%b  " % word if denied & bit else b"ALLOW_%b " % word for bit, word in WORDS]
        command.say(b"  %-24b" % (text + b":"), *words)
    command.say(b"Domain Quota: %d MB" % numbers[b"quota"])
    command.say(b"Default User Quota: %d bytes" % numbers[b"default_quota"])
    command.say(b"Max Domain Messages: %d" % numbers[b"maxmsgcount"])
    command.say(b"Default Max Messages per User: %d" % numbers[b"default_maxmsgcount"])
