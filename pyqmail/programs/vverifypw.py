"""vverifypw: check the password of a mail user.

    vverifypw [-v] user@domain [password]

Without a password it is asked for, or read from standard input where there is no terminal: a word on the command
line can be seen by others. Says nothing. Exit codes: 0 it is right; 1 it is not, or there is no such user; 255
usage; 111 it cannot be told now.

**Security**: run by root or the domain's owner. Takes the same time whether the user exists; is not logged and opens
no relay. Source: ours, named as in later versions of vpopmail.
"""
from ..vpopmail import command, login

USAGE = "vverifypw: usage: [-v] user@domain [password]\n"
RIGHT, WRONG = 0, 1
ANY_SERVICE = None


def main(argv):
    options = command.Options(argv, b"v")
    if options.bad or not 1 <= len(options.rest) <= 2:
        return command.usage(USAGE)
    name = options.rest[0]
    try:
        secret = options.rest[1] if len(options.rest) == 2 else command.ask(b"Please enter password for %b: " % name)
    except EOFError:
        return WRONG
    try:
        login.check(name, secret, b"", ANY_SERVICE)
    except login.Failure:
        return WRONG
    return RIGHT
