"""What the system's log hears of logins: refused ones, and others where VPOPHOME/options asks for it.

    vpopmail[PID]: SERVICE: password fail joe@example.com:192.0.2.7
    vpopmail[PID]: SERVICE: (PLAIN) login success joe@example.com:192.0.2.7

SERVICE is vchkpw-imap, vchkpw-pop3 and so on. Source: vpopmail, as recorded.
"""
import os

from ..base.syslog import Syslog
from . import home

NOTICE = 5


def refused(service, text):
    """text: of a login.Failure."""
    if home.option(b"logging") != b"n":
        send(service, text)


def accepted(service, means, address, ip):
    if home.option(b"logging") in (b"y", b"v"):
        send(service, b"(%b) login success %b:%b" % (means, address, ip))


def send(service, text):
    line = os.fsencode(service) + b": " + text
    clean = bytes(byte if byte >= 32 and byte != 127 else ord("_") for byte in line)
    Syslog(b"vpopmail[%d]" % os.getpid()).send(NOTICE, clean.replace(b"%", b"#"))
