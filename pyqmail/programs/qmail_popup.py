"""qmail-popup: read a POP3 user name and password, then run a checker.

    qmail-popup HOST CHECKER [ARGUMENT …]    one client on descriptors 0 and 1
    qmail-popup --listen [-v]                serve POP3 at the addresses of control/pop3listen

Speaks POP3 (RFC 1939) as HOST until the client has given USER and PASS, or APOP with the timestamp
of the greeting. Then runs CHECKER, looked up along PATH, with its ARGUMENTs and the login on
descriptor 3; usually `checkpassword qmail-pop3d Maildir`. CHECKER takes over the connection; if
it fails the client is told so. One attempt a connection. Exit code: always 1.

Listening, it answers as control/me and runs the checker of control/pop3checker, by default
`checkpassword qmail-pop3d Maildir`; these two, or `vchkpw qmail-pop3d Maildir`, as long as they are pyqmail's own,
run in process.
control/concurrencypop3 (100) bounds the sessions at once, control/concurrencyperip (half of that)
those of one address, control/tcp.pop3.cdb says who may connect; -v logs connections and logins, failed
logins are logged always. SIGHUP: rules are read again. SIGTERM: ends, exit code 0; sessions go on to
their own end.

**Security**: started as root for the checker's sake, it talks to the client in a child that has
become qmaild; root gets two fields of bounded length from it and never looks into them. Listening,
these are the accept workers (qmaild) and the authenticator (root).
Source: qmail-popup(8), RFC 1939, the checkpassword interface.
"""
import os
import time

from ..auth import checkpassword
from ..base import accounts, child, control, errors, prot, sig
from ..pop3 import apart, serve, session

CHECKER = b"checkpassword qmail-pop3d Maildir"
SESSIONS = 100                      # at once, without control/concurrencypop3
FRONT = 1                           # accept workers: two lines a login, each worker 6 MB; passwords take the time
ADDRESSES = ("0.0.0.0:110", "[::]:110")


def main(argv):
    if argv[:1] == [b"--listen"]:
        return listen(argv[1:])
    client = serve.Client(0, 1)
    try:
        client.check()              # a pipe of ours must not come to stand in the client's place
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
        status = checkpassword.ask(checker, checkpassword.encode(*login, stamp), child.search_path())
    except OSError:
        client.write(session.error(b"unable to fork"))
        return
    if status is None:
        client.write(session.error(b"unable to write pipe"))
    elif status < 0:
        client.write(session.error(b"aack, child crashed"))
    elif status > 0:
        client.write(session.error(b"authorization failed"))


def listen(options):
    """Bind as root, then two sides: the accept processes (qmaild) and, in this process, the authenticator."""
    from ..base import listen as listening          # sockets, selectors: not for the classic program
    from ..pop3 import authenticator, handover
    if options not in ([], [b"-v"]):
        errors.say("qmail-popup: usage: qmail-popup --listen [-v]")
        return errors.PERMANENT
    if not accounts.private():
        accounts.ids("qmaild")      # better now than in the first worker
    os.umask(0o077)
    sockets = listening.sockets("pop3listen", ADDRESSES)
    total = max(1, control.number("concurrencypop3", SESSIONS))
    per_ip = control.number("concurrencyperip", max(1, total // 2))
    host = control.line("me", os.fsencode(os.uname().nodename))
    checker = control.line("pop3checker", CHECKER).split() or CHECKER.split()
    sending, receiving = handover.pair()
    verbose = bool(options)
    front = start_front(sockets, total, receiving, (host, sending, per_ip, verbose))
    for sock in (sending, *sockets):
        sock.close()
    return authenticator.Authenticator(receiving, checker, total, per_ip, verbose=verbose).run(front)


def start_front(sockets, total, receiving, settings):
    """Fork the parent of the accept workers; returns its pid. settings: of front.Front."""
    from ..base import listen as listening          # see listen()
    parent = os.getpid()

    def live():
        receiving.close()
        listening.make_room(total, FRONT)
        prot.become(*accounts.ids("qmaild"))
        prot.no_new_privileges()
        prot.die_with_parent(sig.TERM)
        if os.getppid() != parent:
            return errors.TEMPORARY
        return listening.serve("qmail-popup", sockets, work, total=total, role="qmaild", at_most=FRONT)

    def work(worker):
        from ..pop3 import front                    # asyncio: only in the process that uses it
        front.Front(*settings).run(worker)
    return child.fork(live)
