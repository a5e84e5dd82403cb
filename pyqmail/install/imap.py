"""`qmailctl imap SERVER`: what an IMAP server of the system needs to serve our accounts."""
import os

from ..base import home
from ..base.errors import Temporary
from ..imap import dovecot_settings
from . import courier

# Where a certificate may lie: ours, and those that mkimapdcert makes.
CERTIFICATES = ("/usr/lib/courier-imap/share/imapd.pem", "/etc/courier/imapd.pem")


def certificate():
    """The file with key and certificate of IMAP; the first of its possible places if there is none."""
    places = (home.path("imap", "imapd.pem"), home.path("courier-imap", "share", "imapd.pem"), *CERTIFICATES)
    return next(filter(os.path.exists, places), places[0])


def dovecot(tell, _):
    """Raises OSError, Temporary."""
    dovecot_settings.write(certificate(), tell)
    place = home.path(dovecot_settings.DIRECTORY)
    tell(f"A Dovecot of its own: dovecot -c {place}/{dovecot_settings.WHOLE}")
    tell(f"Or in the system's: echo '!include {place}/{dovecot_settings.ACCOUNTS}' >> /etc/dovecot/local.conf")


def start(tell, _):
    """Start Courier IMAP. Raises Temporary."""
    if not courier.there():
        raise Temporary("no Courier IMAP is set up here: qmailctl imap courier does that")
    courier.start()
    stat(tell)


def stop(*_):
    """Stop Courier IMAP. Raises Temporary."""
    if courier.there():
        courier.stop()


def restart(tell, options):
    stop()
    start(tell, options)


def stat(tell, *_):
    """What of Courier IMAP runs."""
    for name, up in courier.states() if courier.there() else ():
        tell(f"{name}: {'up' if up else 'down'}")


# word of `qmailctl imap` -> function(tell, options)
SERVERS = {"dovecot": dovecot, "courier": courier.courier}
COURIER = {"start": start, "stop": stop, "restart": restart, "stat": stat}
