"""Delivering a message to a virtual user: all of vdelivermail but its command line.

Runs in a process of its own (bin/vdelivermail), or within qmail-local's, which may be warm and deliver many times:
nothing here changes the working directory, the umask or the environment, and every descriptor is closed again.

    deliver(action, environ, message, output) -> exit code

environ: {name: value} in bytes, as qmail-local gives it to a program: EXT and HOST say who it is for, RPLINE and
DTLINE what to put first. message: a delivery.message.Message. What there is to say goes to `output`.
Source: vpopmail's vdelivermail, as recorded.
"""
import os

from ..base import errors
from ..base.errors import PERMANENT, TEMPORARY, Permanent, Temporary
from ..base.netio import write_all
from ..delivery.copies import Copies
from ..delivery.message import Unreadable
from . import accounts, assign, domainquota, flags, home, instructions, names, userdir
from .mailbox import NO_USER, Answer, Mailbox, own_text

BOUNCE, DELETE = b"bounce-no-mailbox", b"delete"
LONGEST_HEADER = 1 << 20            # bytes looked at for Delivered-To
NO_MAILBOX = b"Sorry, no mailbox here by that name. (#5.1.1)\n"
LOOPING = b"mail is looping\n"
FIELD = b"delivered-to:"


def deliver(action, environ, message, output, error_output=2, flush=os.fsync, copies=None):
    """Carry out one delivery; never raises. Returns vdelivermail's exit code. copies: a delivery.copies.Copies, if it
    is known which delivery this is."""
    try:
        return Delivery(action, environ, message, output, error_output, flush, copies or Copies()).run()
    except Answer as answer:
        return tell(output, answer.text, answer.code)
    except Unreadable as unreadable:
        return tell(output, f"Unable to read message: {errors.text(unreadable.why)}. (#4.3.0)\n", TEMPORARY)
    except Permanent as why:
        return tell(output, f"{why}\n" if str(why) else "", PERMANENT)
    except Temporary as why:
        return tell(output, f"{why}\n" if str(why) else "", TEMPORARY)
    except Exception as why:        # a bug, a resource: the mail waits
        detail = errors.text(why) if isinstance(why, OSError) else f"{type(why).__name__}: {why}"[:300]
        return tell(output, f"Unable to deliver: {detail}{errors.where(why)}. (#4.3.0)\n", TEMPORARY)


def tell(fd, text, code):
    """Write the last words, if any. Nobody may be left to read them; that must not change the outcome."""
    try:
        write_all(fd, text if isinstance(text, bytes) else os.fsencode(text))
    except OSError:
        pass
    return code


class Delivery:
    """One message for one address."""

    def __init__(self, action, environ, message, output, error_output, flush, copies):
        self.action, self.environ, self.message = action, environ, message
        self.output, self.error_output, self.flush, self.copies = output, error_output, flush, copies

    def run(self):
        """All of it; the exit code. Raises Answer, Temporary, Permanent, Unreadable, OSError."""
        self.user, self.host = self.recipient()
        self.address = b"%b@%b" % (self.user, self.host)
        if not self.message.size():
            return 0
        home.look_again()
        self.delivered = delivered_to(self.message) | self.own_line()
        self.refuse_loop(self.address)
        domain = self.domain()
        self.texts = [place for place in (domain and domain.directory, home.path(b"domains")) if place]
        account, self.extension = self.account(domain)
        if account is None:
            return self.nobody()
        if account.flags & flags.BOUNCE_MAIL:
            raise Answer(b"vdelivermail: account is locked email bounced %b\n" % self.address, PERMANENT)
        directory = self.home_of(domain, account)
        mailbox = Mailbox(directory + b"/Maildir/", account.quota, b"%b@%b" % (account.name, domain.real), self.texts,
                          self.flush, self.copies)
        size = 0 if self.copies.repeat else self.message.size()     # a repeat may be among what is counted
        if home.enabled(b"domain-quotas") and not domainquota.admits(domain, size):
            mailbox.refuse_for_domain()
        return self.into(directory, mailbox)

    def recipient(self):
        """(user, domain) the message is for, in lower case. Raises Answer."""
        for name in (b"EXT", b"HOST"):
            if name not in self.environ:
                raise Answer(b"vdelivermail: no %b environment varilable\n" % name, PERMANENT)
        user, host = (names.lower(self.environ[name]) for name in (b"EXT", b"HOST"))
        if user.strip(names.USER_CHARACTERS):
            raise Answer(b"invalid username\n", PERMANENT)
        if host.strip(names.DOMAIN_CHARACTERS):
            raise Answer(b"invalid domain name\n", PERMANENT)
        return user, host

    def own_line(self):
        """What DTLINE says, as a set: if it names just this address, the message has been here."""
        _, _, value = self.environ.get(b"DTLINE", b"").partition(b":")
        return {value.strip().lower()}

    def refuse_loop(self, recipient):
        if recipient.lower() in self.delivered:
            raise Answer(LOOPING, PERMANENT)

    def domain(self):
        """The domain of HOST, or the one it is an alias of; None if there is none, or it is none of ours to read."""
        found = assign.find(self.host)
        return found if found and os.access(found.directory, os.X_OK) else None

    def account(self, domain):
        """(the account of the user or None, the extension that was cut off to find it)."""
        if domain is None or not self.user:
            return None, b""
        users = accounts.store(domain)
        found = users.get(self.user)
        if found or not home.enabled(b"qmail-ext"):
            return found, b""
        at = self.user.rfind(b"-")
        while at > 0:               # joe-list-x: joe-list, then joe
            found = users.get(self.user[:at])
            if found:
                return found, self.user[at + 1:]
            at = self.user.rfind(b"-", 0, at)
        return None, b""

    def home_of(self, domain, account):
        """The user's directory, made anew with its Maildir if it is gone. Raises Answer."""
        directory = userdir.directory_of(domain, account)
        if os.path.isdir(directory):
            return directory
        try:
            return userdir.make(domain, account)
        except OSError as why:
            if errors.passing(why):
                raise
            raise Answer(b"Auto re-creation of maildir failed. (#5.9.9)\n", PERMANENT) from why

    def nobody(self):
        """There is no such user: what the line of .qmail-default wants done."""
        if self.action == BOUNCE:
            text = own_text(NO_USER, self.texts)
            raise Answer(NO_MAILBOX if text is None else text, PERMANENT)
        if self.action == DELETE:
            return 0
        if not self.action.startswith(b"/"):
            return self.forward(self.action)
        path = self.action.rstrip(b"/") + b"/"
        write_all(self.output, b"user does not exist, but will deliver to %b\n" % path)
        if path.endswith(b"/Maildir/"):
            self.mailbox(path, self.address).deliver(self.message, self.return_path())
            return 0
        return self.into(path.rstrip(b"/"), self.mailbox(path + b"Maildir/", self.address))

    def mailbox(self, path, recipient):
        return Mailbox(path, None, recipient, self.texts, self.flush, self.copies)

    def into(self, directory, mailbox):
        """Deliver for a user directory: by its .qmail, else into its Maildir."""
        lines = instructions.read(directory, self.extension)
        if lines is None:
            mailbox.deliver(self.message, self.return_path())
            return 0
        return instructions.follow(lines, directory, self, mailbox)

    def forward(self, recipient):
        """Hand the message on to an address. Raises Answer."""
        self.refuse_loop(recipient)
        start = self.return_path() + b"Delivered-To: %b\n" % self.address
        code = instructions.inject(recipient, start, self)
        if code:
            raise Answer(b"system error calling qmail-inject\n", code)
        return 0

    def return_path(self):
        return self.environ.get(b"RPLINE", b"")


def delivered_to(message):
    """The addresses in the Delivered-To lines of a header, in lower case."""
    window, found = b"", set()
    for piece in message.pieces():
        window += piece
        end = window.find(b"\n\n")
        if end >= 0 or len(window) >= LONGEST_HEADER:
            window = window[:end] if end >= 0 else window
            break
    for line in window.split(b"\n"):
        if line[:len(FIELD)].lower() == FIELD:
            found.add(line[len(FIELD):].strip().lower())
    return found
