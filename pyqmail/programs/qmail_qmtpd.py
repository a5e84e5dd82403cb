"""qmail-qmtpd: receive mail via QMTP.

    qmail-qmtpd                     one connection on descriptors 0 and 1
    qmail-qmtpd --listen [-v]       listen for connections; -v logs each of them

QMTP is SMTP's faster sister: packets of a message, its sender and its recipients follow each other without
waiting, and there is one answer a recipient.

The first form is run by tcpserver, inetd or systemd for each connection, with tcp-environ(5)'s variables. It exits
0 when the connection has ended, 100 after bad syntax, 111 for lack of resources, control files that
cannot be read, a recipient list over 16 MiB, and a session over an hour.

The second form listens on the addresses in control/qmtplisten (default: port 209 of all addresses; or on the
sockets that systemd passes), follows the rules in control/tcp.qmtp.cdb, which tcprules makes, and has
at most control/concurrencyqmtp connections at once (100), at most control/concurrencyperip (half of that)
from one address. TERM ends it after the sessions under way, HUP makes it read everything again.

Control files: me rcpthosts morercpthosts.cdb databytes maxrecipients (10000 recipients a message) rcptcheck
maxunknown.
Variables: RELAYCLIENT DATABYTES QMAILQUEUE TCP*.

**Security**: reads strangers' bytes, as qmaild, confined to what submitting takes. Listening, it is root only until
its sockets are bound.
Without control/rcpthosts nothing is relayed. Source: qmail-qmtpd(8), cr.yp.to/proto/qmtp.txt.
"""
from ..base import child, errors
from ..base.received import Client
from ..qmtp import classic, qmtp
from ..queue.confined import by_itself


def main(argv):
    if not argv:
        environ = child.environment()
        by_itself("qmail-qmtpd")
        return classic.run(lambda: qmtp.QmtpSession(qmtp.Policy(), Client(environ)))
    if argv[0] == b"--listen" and argv[1:] in ([], [b"-v"]):
        return listen(verbose=len(argv) > 1)
    errors.say("qmail-qmtpd: usage: qmail-qmtpd [--listen [-v]]")
    return errors.PERMANENT


def listen(verbose):
    from ..base.cached import Cached
    from ..qmtp import server       # asyncio: never for the classic program
    policies = Cached(qmtp.FILES, qmtp.Policy)
    return server.serve(server.Protocol(
        "qmail-qmtpd", "qmtp", ["0.0.0.0:209", "[::]:209"], strangers=True, forget=policies.forget,
        session=lambda environ: qmtp.QmtpSession(policies.current(), Client(environ))), verbose)
