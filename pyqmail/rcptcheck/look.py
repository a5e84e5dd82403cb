"""What becomes of mail for a local address: looked up as the user who controls it.

**Security**: runs in processes that became that user before (spawn.warm), opens .qmail files as qmail-local does and,
where they hand mail to vdelivermail, the files of that virtual domain. Nothing is executed. Only a count of a
Maildir that seems full may write: its maildirsize, as a delivery would.
"""
import os

from ..base import errors, sig
from ..base.errors import Temporary
from ..delivery import dotqmail
from ..vpopmail import recipient
from . import wire

LOOK_TIME = 60                      # s; then the process dies of SIGALRM
DEFAULT_DELIVERY = b"#\n"           # what an empty .qmail file stands for is no matter: it is a mailbox
TEXT = 200                          # bytes of the reason why nobody can tell


def look(arguments, _):
    """home, dash, ext, domain, size -> exit code 0, the answer (Z with the reason behind it), and nobody else has a
    descriptor to answer with (see spawn.warm)."""
    directory, dash, ext, domain, size = arguments
    sig.alarm(LOOK_TIME)
    try:
        answer = find(directory, dash, ext, domain, int(size))
    except Temporary as why:
        answer = wire.LATER + os.fsencode(str(why))[:TEXT]
    except OSError as why:
        answer = wire.LATER + os.fsencode(errors.text(why) + errors.where(why))[:TEXT]
    finally:
        sig.alarm(0)
        os.chdir("/")
    return 0, answer, False


def find(directory, dash, ext, domain, size):
    """The answer. In a sticky home, whose user wants mail to wait, what is there counts and what is not may be about to
    come. Raises Temporary, OSError."""
    try:
        os.chdir(directory)
    except OSError as why:
        raise Temporary(f"Unable to switch to {os.fsdecode(directory)}: {errors.text(why)}. (#4.3.0)") from why
    sticky = []
    dotqmail.check_home(sticky.append)
    found = dotqmail.find(dash, ext, DEFAULT_DELIVERY)
    verdict = recipient.UNKNOWN if found is None else recipient.by_instructions(found, ext, domain, size)
    if sticky and not verdict.known:
        raise Temporary("Home directory is sticky: user is editing his .qmail file. (#4.2.1)")
    if verdict is recipient.FULL:
        return wire.FULL
    if not verdict.known:
        return wire.UNKNOWN
    return wire.KNOWN if verdict.room is None else wire.KNOWN + b"%d" % verdict.room
