"""vdominfo: show virtual domains.

    vdominfo [-v] [-a] [-n] [-u] [-g] [-d] [-t] [-r] [domain]

All that is known of a domain and its alias domains; without one, of all domains that have a dot in their name.
Options: bare values of name, uid, gid, directory, number of users, real domain, in this order.
Exit codes: 0; 219 users/assign cannot be read (255 where all domains were asked for); 245 no such domain; 255 usage;
111 a temporary trouble.

**Security**: run by anybody who may read users/cdb and the domains. Source: vpopmail.
"""
from ..base.errors import Temporary
from ..vpopmail import assign, command, domains, names
from ..vpopmail.errors import Refused

USAGE = """\
vdominfo: usage: [options] [domain]
options: -v (print version number)
         -a (display all fields, this is the default)
         -n (display domain name)
         -u (display uid field)
         -g (display gid field)
         -d (display domain directory)
         -t (display total users)
         -r (display real domain)
"""
ORDER = b"nugdtr"


def main(argv):
    options = command.Options(argv, b"vanugdtr")
    if options.bad:
        return command.usage(USAGE)
    wanted = {letter for letter, _ in options.found}
    fields = [letter for letter in map(bytes, zip(ORDER)) if letter in wanted and b"a" not in wanted]
    name = names.lower(options.rest[0]) if options.rest else None
    try:
        everyone = assign.everyone()
    except Refused as why:
        command.say(b"Can't get domain entries - can't read users/assign file")
        return command.FAILED if name is None else why.status
    if name is not None:
        return show_one(name, fields, everyone)
    for domain in everyone:
        show(domain, fields, all_of_them=True)
        command.say()
    if not everyone:
        command.say(b"What now - Success")
    return 0


def show_one(name, fields, everyone):
    domain = assign.find(name) if b"." in name else None
    if domain is None:
        command.say(b"Invalid domain name")
        return Refused("DOMAIN_DOES_NOT_EXIST").status
    show(domain, fields)
    if not fields:
        for each in everyone:
            if each.alias and each.real == domain.real:
                command.say(b"alias: ", each.name)
    return 0


def show(domain, fields, all_of_them=False):
    shown = domain.name if all_of_them else domain.real
    if all_of_them and domain.alias:
        shown += b" (alias of %b)" % domain.real
    if not fields or b"t" in fields:
        users = b"%d" % count(domain)
    if not fields:
        command.say(b"domain: ", shown)
        command.say(b"uid:    %d" % domain.uid)
        command.say(b"gid:    %d" % domain.gid)
        command.say(b"dir:    ", domain.directory)
        command.say(b"users:  ", users)
    for letter in fields:
        command.say(users if letter == b"t" else {
            b"n": shown, b"u": b"%d" % domain.uid, b"g": b"%d" % domain.gid, b"d": domain.directory,
            b"r": domain.real}[letter])


def count(domain):
    """The number of users; 0, with a complaint, where the directory cannot be entered."""
    try:
        return domains.user_count(domain)
    except Temporary as why:
        command.complain(str(why).encode())
        return 0
