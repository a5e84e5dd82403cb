"""vmkpasswd: make vpasswd.cdb of a domain from vpasswd, after that was edited by hand.

    vmkpasswd domain

Exit codes: 0 done; 253 no such domain; 255 usage; 111 a temporary trouble.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
from ..vpopmail import accounts, assign, command, names
from ..vpopmail.errors import Refused

USAGE = """\
vmkpasswd: usage: domain 
"""


def main(argv):
    options = command.Options(argv, b"")
    if len(options.rest) != 1:
        return command.usage(USAGE)
    domain = assign.find(names.lower(options.rest[0]))
    if domain is None:
        return Refused("BAD_DIR").status
    accounts.store(domain).rebuild()
    return 0
