"""What qmail-smtpd is told by its control files."""
from ..base import control, ipme
from ..base.cached import Cached
from ..base.errors import Temporary
from ..base.rcpthosts import Rcpthosts
from . import grammar

TIMEOUT = 1200                      # s a read or write may take
RECIPIENTS = 10_000                 # of one message; RFC 5321 4.5.3.1.8 asks for 100, qmail has no limit
UNKNOWN = 20                        # unknown recipients until a client is sent away; 0: any number
ENVELOPE = 2 << 20                  # bytes of all recipients together: what one client can make us hold
FILES = ("me", "smtpgreeting", "localiphost", "timeoutsmtpd", "rcpthosts", "morercpthosts.cdb", "badmailfrom",
         "databytes", "maxrecipients", "moreipme", "rcptcheck", "maxunknown")


class Policy:
    """The control files, read once. The constructor raises Temporary if one cannot be read, or if there
    is neither smtpgreeting nor me."""

    def __init__(self):
        me = control.line("me")
        self.greeting = control.line("smtpgreeting", me)
        if self.greeting is None:
            raise Temporary("there is neither control/smtpgreeting nor control/me")
        self.localiphost = control.line("localiphost", me)
        self.timeout = max(1, control.number("timeoutsmtpd", TIMEOUT))
        self.rcpthosts = Rcpthosts()
        self.databytes = control.number("databytes", 0)
        self.recipients = control.number("maxrecipients", RECIPIENTS)
        self.check = control.number("rcptcheck", 0) > 0
        self.unknown = control.number("maxunknown", UNKNOWN) if self.check else 0
        self._bad_senders = control.fold(control.lines("badmailfrom") or ())
        self._own = None

    def is_bad_sender(self, sender):
        """badmailfrom names the sender, or @ and its host."""
        if not self._bad_senders:
            return False
        sender = sender.lower()
        at = sender.rfind(b"@")
        return sender in self._bad_senders or at >= 0 and sender[at:] in self._bad_senders

    def localize(self, address):
        """joe@[one of our own addresses] becomes joe@localiphost. Raises Temporary, OSError."""
        text = grammar.literal(address)
        if text is None or self.localiphost is None:
            return address
        ip = ipme.parse6(text[5:]) if text[:5].lower() == b"ipv6:" else ipme.parse4(text)
        if ip is None:
            return address
        if self._own is None:
            self._own = ipme.addresses()
        return address[:address.rfind(b"@") + 1] + self.localiphost if ip in self._own else address


class CachedPolicy(Cached):
    """The Policy for the next connection: read again when a control file has changed."""

    def __init__(self):
        super().__init__(FILES, Policy, watched=True)
