"""vaddaliasdomain: let a domain be another name of a virtual domain.

    vaddaliasdomain [-v] real alias         (in either order)

Tells qmail about the alias (users/assign and cdb, control files) and lets qmail-send read them again; no
directory is made. Exit codes: 0 done; 230 to 255 vpopmail's errors, told on standard output; 111 a temporary trouble.

**Security**: run by root. Source: vpopmail.
"""
from ..vpopmail import assign, command, domains, names

USAGE = """\
vaddaliasdomain: usage: [options] real_domain alias_domain
options: -v (print version number)
note: for backward compatability, you can swap real_domain and alias_domain.
"""


def main(argv):
    return command.answer(add, command.Options(argv, b"v"))


def add(options):
    if len(options.rest) < 2:
        return command.usage(USAGE)
    real, alias = map(names.lower, options.rest[:2])
    if real == alias:
        command.say(b"Error: real domain and alias domain are the same!")
        return command.usage(USAGE)
    found, other = assign.find(real), assign.find(alias)
    if found and other and not domains.unfinished_alias(found, other):
        command.say(b"Error: Both domains already exist, unable to create alias.")
        return command.FAILED
    if not found and not other:
        command.say(b"Error: Neither '%b' or '%b'  exist, unable to create alias." % (real, alias))
        return command.FAILED
    new, known = (real, other) if not found or found.alias else (alias, found)
    domains.add_alias(new, known)
    return 0
