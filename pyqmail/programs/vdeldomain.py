"""vdeldomain: remove a virtual domain and all mail in it, or the name of an alias domain.

    vdeldomain [-v] [-f] domain

A domain that has alias domains is removed only with -f, and they with it. Exit codes: 0 done, also for the usage
text and for the refusal that names the aliases; 219 users/assign cannot be read; 245 no such domain; 111 a
temporary trouble. Pieces that are missing already are told of on standard error.

**Security**: run by root. Source: vpopmail.
"""
from ..vpopmail import assign, command, domains, names
from ..vpopmail.errors import Refused

USAGE = """\
vdeldomain: usage: [options] domain_name
options: -v (print version number)
options: -f (force delete of virtual domains)
"""


def main(argv):
    return command.answer(remove, command.Options(argv, b"vf"))


def remove(options):
    if not options.rest:
        return command.usage(USAGE, 0)
    try:
        everyone = assign.everyone()
    except Refused as why:
        command.say(b"Error: Can't get domain entries - can't read users/assign file")
        return why.status
    domain = assign.find(names.lower(options.rest[0]))
    if domain is None:
        raise Refused("DOMAIN_DOES_NOT_EXIST")
    aliases = [] if domain.alias else [each.name for each in everyone if each.alias and each.real == domain.real]
    force = (b"f", None) in options.found
    if aliases:
        command.say(b"Warning: Alias domains %b:" % (b"deleted" if force else b"exist"))
        for name in aliases:
            command.say(b"   ", name)
        if not force:
            command.say(b"   use -f to force delete of domain and all aliases")
            return 0
    domains.delete(domain, lambda text: command.complain(b"Warning: ", text))
    return 0
