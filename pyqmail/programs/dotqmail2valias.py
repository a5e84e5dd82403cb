"""dotqmail2valias: move .qmail files of a domain into an SQL alias table.

    dotqmail2valias domain

The embedded account store keeps aliases in .qmail files, where qmail-local finds them: there is nothing to
move them to, and that is what this program says. Exit code: 255.

**Security**: does nothing. Source: vpopmail.
"""
from ..vpopmail import command


def main(argv):
    command.complain(b"You must enable valiases (./configure --enable-valias) to use this program.")
    return command.FAILED
