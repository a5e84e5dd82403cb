"""The header of a message as it will be sent, and the envelope that follows from it.

    draft = Draft(identity, completer, stamp)
    for field in message.fields():
        draft.add(field)
    draft.header(), draft.sender(), draft.recipients()

Source: qmail-header(5), qmail-inject(8).
"""
import time

from ..base import address, date, header
from . import addresses, fields, tokens
from .tokens import ATOM, COMMENT, QUOTED, SPECIAL, Unparsable

AT, COLON, LEFT, RIGHT = (SPECIAL[ord(character)] for character in "@:<>")
NAME_TOKENS = 2                     # a field's tokens start with its name and the colon
NO_RECIPIENTS_SHOWN = b"Cc: recipient list not shown: ;\n"
VERP = b"-@[]"                      # ends an envelope sender that qmail-send completes for each recipient


class Stamp:
    """When and where a message is written: seconds since 1970, process id, host name for its id."""

    def __init__(self, seconds, pid, id_host):
        self.seconds, self.pid, self.id_host = seconds, pid, id_host

    def date(self):
        return date.rfc822(self.seconds)

    def message_id(self):
        """<20261122090507.4711.qmail@id.example>"""
        year, month, day, hour, minute, second = time.gmtime(self.seconds)[:6]
        return b"<%d%02d%02d%02d%02d%02d.%d.qmail@%b>" % (
            year, month, day, hour, minute, second, self.pid, self.id_host)


class Draft:
    """A header under way. `sender`: the envelope sender if it is known already, complete.
    mailing_lists: lower-case addresses; a message to one of them tells where follow-ups should go.
    Methods raise Unparsable, with words for the user."""

    def __init__(self, identity, completer, stamp, sender=None, mailing_lists=frozenset()):
        self._identity, self._completer, self._stamp = identity, completer, stamp
        self._sender, self._mailing_lists = sender, mailing_lists
        self._seen, self._kept = set(), []
        self._plain, self._resent, self._to_and_cc = [], [], []

    def add(self, field):
        """Take over one field of the message as it came."""
        name = header.name(field)
        if name in self._identity.deleted:
            return
        if name in fields.NOTICED:
            self._seen.add(name)
        field = self._rewritten(name, field)
        if name not in fields.NOT_PASSED_ON:
            self._kept.append(field)

    def resent(self):
        """True if the message is resent, which only the whole header tells."""
        return not fields.RESENT.isdisjoint(self._seen)

    def recipients(self):
        """The header's recipients, complete, for the envelope."""
        return self._resent if self.resent() else self._plain

    def sender(self):
        """The envelope sender, complete; empty if what the environment says is no address."""
        if self._sender is None:
            self._with_addresses(self._default_return_path(), self._return_path)
        return envelope(self._sender or b"")

    def header(self):
        """The header: what had to be made, then what came, in its order."""
        prefix = b"Resent-" if self.resent() else b""
        made = []
        if self._lacks(prefix, b"date"):
            made.append(b"%bDate: %b\n" % (prefix, self._stamp.date()))
        if self._lacks(prefix, b"message-id"):
            made.append(b"%bMessage-ID: %b\n" % (prefix, self._stamp.message_id()))
        if self._lacks(prefix, b"from"):
            made.append(prefix + self._with_addresses(self._default_from(), self._completer.complete))
        if self._lacks(prefix, b"to", b"cc"):
            made.append(prefix + NO_RECIPIENTS_SHOWN)
        if not prefix:
            made.append(self._mail_followup_to())
        return b"".join((*made, *self._kept))

    def _lacks(self, prefix, *names):
        return not any(prefix.lower() + name in self._seen for name in names)

    def _rewritten(self, name, field):
        """The field with complete addresses, and the envelope's part of them noted. A recipient field
        that cannot be parsed stays as it is, any other one is refused."""
        if name in fields.RECIPIENTS:
            lists = (self._plain, self._to_and_cc) if name in fields.TO_AND_CC else (self._plain,)
            return self._with_recipients(field, lists)
        if name in fields.RESENT_RECIPIENTS:
            return self._with_recipients(field, (self._resent,))
        if name in fields.SENDERS:
            return self._with_addresses(field, self._completer.complete)
        if name == fields.RETURN_PATH:
            return self._with_addresses(field, self._return_path)
        return field

    def _with_recipients(self, field, lists):
        def recipient(addr):
            addr = self._completer.complete(addr)
            for each in lists:
                each.append(envelope(tokens.plain(addr)))
            return addr
        try:
            return self._with_addresses(field, recipient)
        except Unparsable:
            return field

    def _with_addresses(self, field, rewrite):
        found = tokens.read_strictly(field)
        try:
            rewritten = addresses.rewrite_list(found[NAME_TOKENS:], rewrite)
        except Unparsable:
            raise tokens.refuse(field) from None
        return tokens.write(found[:NAME_TOKENS] + rewritten)

    def _return_path(self, addr):
        """The first address seen, which is the last one of its field, becomes the envelope sender."""
        addr = self._completer.complete(addr)
        if self._sender is None:
            self._sender = tokens.plain(addr) + (VERP if self._identity.per_recipient else b"")
        return addr

    def _default_from(self):
        who = self._identity
        addr = [(QUOTED if who.user_needs_quotes() else ATOM, who.user), *at_host(who.host)]
        if who.full_name is not None:
            if who.name_in_comment:
                addr = [*addr, (COMMENT, who.full_name)]
            else:
                addr = [(QUOTED, who.full_name), LEFT, *addr, RIGHT]
        return tokens.write([(ATOM, b"From"), COLON, *addr])

    def _default_return_path(self):
        who = self._identity
        user = who.sender_user
        if who.per_message:
            user += b"-%d.%d" % (self._stamp.seconds, self._stamp.pid)
        if who.per_recipient:
            user += b"-"
        return tokens.write([(ATOM, b"Return-Path"), COLON, (QUOTED, user), *at_host(who.sender_host)])

    def _mail_followup_to(self):
        """The field, or b"". All addresses of To and Cc are in it."""
        if fields.MAIL_FOLLOWUP_TO in self._seen:
            return b""
        if self._mailing_lists.isdisjoint(recipient.lower() for recipient in self._to_and_cc):
            return b""
        everybody = (address.quote(recipient) for recipient in reversed(self._to_and_cc))
        return b"Mail-Followup-To: %b\n" % b",\n  ".join(everybody)


def at_host(host):
    """The tokens of "@host", of nothing for None. A host given in the environment is one atom whatever
    it consists of."""
    return () if host is None else (AT, (ATOM, host))


def envelope(addr):
    """An address for the envelope, where a NUL ends it."""
    return addr.partition(b"\0")[0]
