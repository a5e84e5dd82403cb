"""What qmail-smtpd is told: by its control files (Policy) and about its client (Client)."""
import os

from ..base import control, home, ipme
from ..base.errors import Temporary
from . import grammar
from .rcpthosts import Rcpthosts

TIMEOUT = 1200                      # s a read or write may take
RECIPIENTS = 10_000                 # of one message; RFC 5321 4.5.3.1.8 asks for 100, qmail has no limit
ENVELOPE = 2 << 20                  # bytes of all recipients together: what one client can make us hold
FILES = ("me", "smtpgreeting", "localiphost", "timeoutsmtpd", "rcpthosts", "morercpthosts.cdb", "badmailfrom",
         "databytes", "maxrecipients", "moreipme")


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


class CachedPolicy:
    """The Policy for the next connection: read again when a control file has changed."""

    def __init__(self):
        self._seen, self._policy = None, None

    def forget(self):
        self._seen = None

    def current(self):
        """Raises Temporary as Policy does."""
        now = [mark(home.path("control", name)) for name in FILES]
        if now != self._seen:
            self._policy, self._seen = Policy(), now
        return self._policy


def mark(path):
    """What changes when a file is changed; None if there is no file to look at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Client:
    """The connection's variables: wire-level facts and what the rules say about this client."""

    def __init__(self, environ):
        get = environ.get
        self.ip, self.host, self.info = get(b"TCPREMOTEIP", b"unknown"), get(b"TCPREMOTEHOST", b"unknown"), \
            get(b"TCPREMOTEINFO")
        self.local = get(b"TCPLOCALHOST", get(b"TCPLOCALIP", b"unknown"))
        self.relayclient = get(b"RELAYCLIENT")
        self.databytes = leading_number(get(b"DATABYTES"))


def leading_number(text):
    """The number at the start of a variable, 0 if there is none; None for a variable that is not set."""
    if text is None:
        return None
    return int(text[:len(text) - len(text.lstrip(b"0123456789"))][:20] or 0)
