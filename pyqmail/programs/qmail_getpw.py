"""qmail-getpw: who controls an address, by the system's accounts.

    qmail-getpw LOCAL

Prints `user NUL uid NUL gid NUL home NUL dash NUL ext NUL`. Exit codes: 0 done; 100 no argument;
111 trouble with the output; 115 a home could not be looked at for the moment; 116 there is no
user alias; 118 the accounts could not be asked.

**Security**: run by qmail-lspawn as qmailp, who has access to nothing; LOCAL is a stranger's.
Source: qmail-getpw(8).
"""
from ..base import netio
from ..base.errors import PERMANENT
from ..users import passwd
from ..users.codes import Undecided


def main(argv):
    if not argv:
        return PERMANENT
    try:
        answer = passwd.getpw(argv[0])
    except Undecided as why:
        return why.code
    netio.write_all(1, answer)
    return 0
