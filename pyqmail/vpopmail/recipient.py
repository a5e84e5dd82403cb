"""Whether a virtual domain has somebody to take mail for a name: what a server asks before it accepts a recipient.

The answer is what a delivery would find, by the same code: the .qmail file of the domain that is about the name, and
where that is vdelivermail's line, the account, its locks, its quota, or what shall become of mail for nobody.
"""
import os
from collections import namedtuple

from ..base import maildirsize
from ..delivery import command, dotqmail
from . import assign, delivery, flags, instructions, names, userdir
from .mailbox import Answer
from .place import Inside

Verdict = namedtuple("Verdict", "known room")   # room: bytes that the quota leaves; None: no such limit
KNOWN, UNKNOWN = Verdict(True, None), Verdict(False, None)
FULL = Verdict(False, 0)                        # there is a mailbox, but mail of this size bounces


def known(address):
    """True if mail for `address` has somebody to go to; None if its domain is none of ours. Raises BadName, Temporary,
    OSError."""
    user, host = names.parse(address)
    domain = assign.find(host) if host else None
    if domain is None:
        return None
    if not user:
        return False
    with Inside(domain):
        dotqmail.check_home()
        found = dotqmail.find(b"-", user, b"#\n")
    return bool(found) and by_instructions(found, user, host, action_of=last_word) is not UNKNOWN


def by_instructions(found, ext, host, size=0, action_of=command.own_vdelivermail):
    """The Verdict for mail that a .qmail file gets (found: dotqmail.Instructions), for ext@host, of `size` bytes (0:
    not known yet). Only vdelivermail is looked behind, and only where nothing else in the file can take the mail.
    action_of(line): the action if the command is a vdelivermail, else None. Raises Temporary, OSError."""
    if command.VDELIVERMAIL not in found.text:
        return KNOWN
    lines = list(dotqmail.lines(found.text, found.forward_only))
    if len(lines) != 1 or lines[0][0] != b"program":
        return KNOWN
    *filters, last = dotqmail.up_to_nul(lines[0][1]).split(b"|")
    if any(not words.strip() or words.strip(command.PLAIN + b" \t") for words in filters):
        return KNOWN                    # behind plain filters (`| filter | vdelivermail '' ACTION`) it still decides
    action = action_of(last)
    return KNOWN if action is None else of_user(ext, host, action, size)


def last_word(line):
    """The action of a line that runs any vdelivermail: the domain is vpopmail's, whoever's program that is."""
    words = line.split()
    runs_it = bool(words) and os.path.basename(words[0]) == command.VDELIVERMAIL
    return words[-1].strip(b"'\"") if runs_it else None


class Recipient(delivery.Delivery):
    """As much of a delivery as shows whom it is for."""

    def __init__(self, action, user, host):
        self.action, self.environ = action, {b"EXT": user, b"HOST": host}


def of_user(user, host, action, size=0):
    """The Verdict of vdelivermail. Raises Temporary, OSError."""
    mail = Recipient(action, user, host)
    try:
        mail.user, mail.host = mail.recipient()
    except Answer:                      # characters that no name may have
        return UNKNOWN
    domain = mail.domain()
    account, extension = mail.account(domain)
    if account is None:
        return UNKNOWN if action == delivery.BOUNCE else KNOWN
    if account.flags & flags.BOUNCE_MAIL:
        return UNKNOWN
    directory = userdir.directory_of(domain, account)
    if instructions.read(directory, extension) is not None:
        return KNOWN                    # what the user's own lines do with it is not known before they do it
    return in_maildir(directory + b"/Maildir", account.quota, max(size, 1))


def in_maildir(path, text, size):
    """The Verdict of a quota about a message of `size` bytes. No is said only after a count, as a delivery does."""
    quota = None if text[:2].upper() == b"NO" else maildirsize.parse(text)
    if not quota:
        return KNOWN

    def fits(usage):
        return quota.admits(usage, size, 1)

    try:
        found = maildirsize.read(path)
        usage = found[1] if found and fits(found[1]) else maildirsize.usage(path, text, fits)
    except FileNotFoundError:
        return KNOWN                    # no Maildir yet: a delivery makes it
    if not fits(usage):
        return FULL
    return Verdict(True, quota.bytes - usage.bytes) if quota.bytes else KNOWN
