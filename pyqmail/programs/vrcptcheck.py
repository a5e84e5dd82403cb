"""vrcptcheck: tell whether there is somebody to take mail for an address.

    vrcptcheck [-v] user@domain

Says nothing. Exit codes: 0 there is: a user, an alias, or a domain that takes every name; 1 there is not; 2 the
domain is not one of ours; 255 usage; 111 it cannot be told now.

**Security**: run by root or the domain's owner, works as the owner inside the domain; the address may be a
stranger's. Source: ours, named as in later versions of vpopmail.
"""
from ..vpopmail import command, names, recipient

USAGE = "vrcptcheck: usage: [-v] user@domain\n"
KNOWN, UNKNOWN, NOT_OURS = 0, 1, 2


def main(argv):
    options = command.Options(argv, b"v")
    if options.bad or len(options.rest) != 1:
        return command.usage(USAGE)
    try:
        found = recipient.known(options.rest[0])
    except names.BadName:
        return UNKNOWN
    return NOT_OURS if found is None else KNOWN if found else UNKNOWN
