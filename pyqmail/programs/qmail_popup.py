"""qmail-popup: read a POP3 user name and password, then run a checker.

    qmail-popup HOST CHECKER [ARGUMENT …]    one client on descriptors 0 and 1

Speaks POP3 (RFC 1939) as HOST until the client has given USER and PASS, or APOP with the timestamp
of the greeting. Then runs CHECKER, looked up along PATH, with its ARGUMENTs and the login on
descriptor 3; usually `checkpassword qmail-pop3d Maildir`. CHECKER takes over the connection; if
it fails the client is told so. One attempt a connection. Exit code: always 1.

**Security**: started as root for the checker's sake, it talks to the client in a child that has
become qmaild; root gets two fields of bounded length from it and never looks into them.
Source: qmail-popup(8), RFC 1939, the checkpassword interface.
"""
import os
import time

from ..auth import checkpassword
from ..pop3 import apart, serve, session


def main(argv):
    client = serve.Client(0, 1)
    try:
        if len(argv) < 2:
            client.write(session.error(b"usage: popup hostname subprogram"))
        else:
            attempt(client, argv[0], argv[1:])
    except serve.Gone:
        pass
    return 1


def attempt(client, host, checker):
    stamp = b"<%d.%d@%s>" % (os.getpid(), int(time.time()), host)
    login = (apart if os.geteuid() == 0 else serve).authorize(client, stamp)
    if login is None:
        return
    try:
        status = checkpassword.ask(checker, checkpassword.encode(*login, stamp), os.environb.get(b"PATH", b"/bin:/usr/bin"))
    except OSError:
        client.write(session.error(b"unable to fork"))
        return
    if status is None:
        client.write(session.error(b"unable to write pipe"))
    elif status < 0:
        client.write(session.error(b"aack, child crashed"))
    elif status > 0:
        client.write(session.error(b"authorization failed"))
