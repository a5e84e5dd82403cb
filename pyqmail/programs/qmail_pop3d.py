"""qmail-pop3d: distribute mail from a Maildir through POP3.

    qmail-pop3d MAILDIR             client on descriptors 0 and 1, already authenticated

Reads commands of RFC 1939 (the TRANSACTION state; UIDL, TOP and LAST included) and answers them.
The messages are those of MAILDIR, a path relative to the user's home directory, at the start of
the session, oldest first. QUIT removes the deleted ones and moves new ones to cur. A session that
ends otherwise, or is silent for 20 minutes, changes nothing.
Exit codes: 0 in every case but 1, when run as root.

**Security**: runs as the mailbox's user, whom checkpassword has made it; refuses uid 0. Reads bytes
from the network, confined to MAILDIR before that.
Source: qmail-pop3d(8), RFC 1939.
"""
import os

from ..base import errors
from ..pop3 import confined, serve


def main(argv):
    if 0 in os.getresuid():
        errors.say("qmail-pop3d invoked as uid 0, terminating")
        return 1
    directory = argv[0] if argv else None
    confined.mailbox(directory)
    serve.transact(serve.Client(0, 1), directory)
    return 0
