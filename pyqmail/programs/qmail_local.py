"""qmail-local: deliver or forward a mail message.

    qmail-local [-nN] user homedir local dash ext domain sender aliasempty

Reads the message from descriptor 0, a file, and delivers it as `homedir`/.qmail… says, or
`aliasempty` where there is no such file. -n: do not deliver, only print what would be done; -N:
deliver (usual). Prints `did F+A+P`, the number of file deliveries, addresses and programs, and
`qp N` if it forwarded; errors go to descriptor 2.

Exit codes: 0 delivered, 100 cannot be delivered, 111 try again later; 113 for root (qmail-lspawn
reports "Not allowed to perform deliveries as root.").

Environment: QMAILLOCALCOPY, from qmail-lspawn: which delivery this is, so that a repeat of it does not put a second
copy into a Maildir. Commands do not get it.

**Security**: runs as the user who controls the address, with that user's rights and no others;
root is refused. Message, sender, local part and domain come from strangers.
Source: qmail-local(8).
"""
import os

from ..base import child, errors
from ..base.options import BadOption, Options
from ..delivery import copies
from ..delivery.deliver import Order, deliver

USAGE = "qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty"
AS_ROOT = 113


def main(argv):
    dry, options = False, Options(argv, b"nN")
    try:
        for letter, _ in options:
            dry = letter == b"n"
    except BadOption as why:
        errors.say("qmail-local: ", why.line)
        return usage()
    words = options.rest
    if len(words) != 8 or not words[1].startswith(b"/"):
        return usage()
    if os.geteuid() == 0 and not dry:
        errors.say("Not allowed to perform deliveries as root.")
        return AS_ROOT
    environ = child.environment()
    known = copies.told(environ.pop(copies.VARIABLE, b""))      # commands of the user must not inherit it
    return deliver(Order(*words, message=0, output=1, error_output=2, environ=environ, dry=dry, copies=known))


def usage():
    errors.say(USAGE)
    return errors.PERMANENT
