"""valias: show and change the aliases of a virtual domain.

    valias [-v] -s | -n | -d | -i line  user@domain     (for -s and -n also a domain)

-s shows the lines of an alias, -n the names, -d deletes an alias, -i adds a line to it. The lines are those of
.qmail-USER in the domain's directory, as qmail-local obeys them. Exit codes: 0 done; 254 an unknown option; 255
nothing there, usage, a line that is there already; 111 a temporary trouble.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
from ..vpopmail import assign, command, names, valias
from ..vpopmail.errors import Refused

USAGE = """\
valias: usage: [options] email_address 
options: -v ( display the vpopmail version number )
         -n ( show alias names, use just domain )
         -s ( show aliases, can use just domain )
         -d ( delete alias )
         -i alias_line (insert alias line)

Example: valias -i fred@inter7.com bob@inter7.com
         (adds alias from bob@inter7.com to fred@inter7.com
"""
BAD_OPTION = 254


def main(argv):
    return command.answer(run, command.Options(argv, b"vnsdi:"))


def run(options):
    if options.bad:
        return command.usage(USAGE, BAD_OPTION)
    if not options.rest:
        command.complain(b"must supply alias email address")
        return command.usage(USAGE)
    given = dict(options.found)
    target = names.lower(options.rest[0])
    if b"n" in given and b"@" in target:
        command.complain(b"Please enter domain name only.")
        return command.FAILED
    if b"@" not in target:
        return show_domain(target, b"n" in given)
    user, name = names.parse(target)
    domain = assign.find(name)
    if b"i" in given:
        return insert(domain, user, name, given[b"i"])
    if domain is None:
        unknown_domain()
        return 0 if b"d" in given else command.FAILED
    if b"d" in given:
        valias.delete(domain, user)
        return 0
    return show(domain, user, name)


def unknown_domain():
    command.say(b"invalid domain, not in qmail assign file")


def insert(domain, user, name, line):
    if domain is None:                  # looked for once for the old lines and once for the new one
        unknown_domain()
        unknown_domain()
        return 0
    try:
        if valias.insert(domain, user, line):
            return 0
    except Refused as why:
        if why.name == "ALIAS_LINE_TOO_LONG":
            return 0
        raise
    command.complain(b"Error: alias %b@%b -> %b already exists." % (user, name, line))
    return command.FAILED


def show(domain, user, name):
    found = valias.lines(domain, user)
    for line in found:
        command.say(b"%b@%b -> %b" % (user, name, line))
    return 0 if found else command.FAILED


def show_domain(name, only_names):
    domain = assign.find(name)
    if domain is None:
        unknown_domain()
        return command.FAILED
    found = valias.users(domain)
    for user in found:
        if only_names:
            command.say(user)
        else:
            show(domain, user, name)
    return 0 if found else command.FAILED
