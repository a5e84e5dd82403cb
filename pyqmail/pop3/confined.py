"""What a process may still do that speaks POP3: before the login, nothing but talk; after it, the user's Maildir."""
import os

from ..base import limits, prot, sandbox


def stranger():
    """Be confined from here on, with a client who has not logged in. Raises OSError."""
    limits.enter("qmail-popup")
    sandbox.enter(sandbox.Files())


def mailbox(directory):
    """Be confined from here on, with the user's Maildir, None for none. Working directory: where that is. Raises
    OSError."""
    prot.not_dumpable()
    limits.enter("qmail-pop3d")
    sandbox.enter(sandbox.Files(link=places(directory) if directory else ()))


def places(directory):
    """A Maildir, and its parts, which may be links to elsewhere."""
    return (directory, *(os.path.join(directory, part) for part in (b"new", b"cur", b"tmp")))
