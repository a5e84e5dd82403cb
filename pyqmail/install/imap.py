"""`qmailctl imap SERVER`: what an IMAP server of the system needs to serve our accounts."""
import os

from ..base import control, home, netio
from ..base.errors import Temporary
from ..imap import dovecot_settings
from . import commands, courier


def certificate():
    """The file with key and certificate of IMAP: what mkimapdcert made for Courier, where it did; else one of our own."""
    made = home.path("courier-imap", "share", "imapd.pem")
    return made if os.path.exists(made) else home.path(dovecot_settings.DIRECTORY, "imapd.pem")


def make_certificate(path, tell):
    """A key and a certificate in the name of control/me, signed by itself, for a year. Raises OSError, Temporary."""
    name = os.fsdecode(control.line("me", b"localhost"))
    key, signed, whole = (f"{path}.{part}" for part in ("key", "cert", "new"))
    before = os.umask(0o077)
    try:
        commands.run("openssl", "req", "-new", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "365", "-subj", f"/CN={name}",
                     "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", signed)
        with open(whole, "wb") as f:
            f.write(netio.read_file(key) + netio.read_file(signed))
        os.rename(whole, path)
    finally:
        os.umask(before)
        for part in filter(os.path.exists, (key, signed)):
            os.unlink(part)
    tell(f"made {path}: clients will ask whether they may trust it")


def dovecot(tell, _):
    """Raises OSError, Temporary."""
    os.makedirs(home.path(dovecot_settings.DIRECTORY), 0o755, exist_ok=True)
    pem = certificate()
    if not os.path.exists(pem):
        make_certificate(pem, tell)
    dovecot_settings.write(pem, tell)
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
