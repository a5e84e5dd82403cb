"""qmail-qmqpd: receive mail via QMQP, for hosts without a queue of their own.

    qmail-qmqpd                     one connection on descriptors 0 and 1
    qmail-qmqpd --listen [-v]       listen for connections; -v logs each of them

Takes one packet, the message and envelope of what was given to a qmail-qmqpc, puts it into the queue and answers. No
recipient is checked and no size: whoever may connect may send anything anywhere.

The first form is run by tcpserver, inetd or systemd for each connection, with tcp-environ(5)'s variables;
tcpserver's rules say who may connect. It exits 0 after its answer and when the connection ended early,
100 after bad syntax, 111 for lack of resources, over 1000000 recipients, and a session over an hour.

The second form listens on the addresses in control/qmqplisten (default: port 628 of all addresses; or on the
sockets that systemd passes). It admits only clients that a rule in control/tcp.qmqp.cdb, which
tcprules makes, allows; without that file, and where no rule fits, nobody. It has at most
control/concurrencyqmqp connections at once (100), at most control/concurrencyperip (half of that) from one
address. TERM ends it after the sessions under way, HUP makes it read everything again.

Control files: none besides those. Variables: QMAILQUEUE TCP*.

**Security**: reads its clients' bytes, as qmaild, confined to what submitting takes; they are trusted with relaying, not with anything else.
Listening, it is root only until its sockets are bound. Source: qmail-qmqpd(8), cr.yp.to/proto/qmqp.html.
"""
from ..base import child, errors
from ..base.received import Client
from ..qmtp import classic, qmqp
from ..queue.confined import by_itself


def main(argv):
    if not argv:
        environ = child.environment()
        by_itself("qmail-qmqpd")
        return classic.run(lambda: qmqp.QmqpSession(Client(environ)))
    if argv[0] == b"--listen" and argv[1:] in ([], [b"-v"]):
        from ..qmtp import server   # asyncio: never for the classic program
        return server.serve(server.Protocol(
            "qmail-qmqpd", "qmqp", [f"0.0.0.0:{qmqp.PORT}", f"[::]:{qmqp.PORT}"], strangers=False,
            session=lambda environ: qmqp.QmqpSession(Client(environ))), verbose=len(argv) > 1)
    errors.say("qmail-qmqpd: usage: qmail-qmqpd [--listen [-v]]")
    return errors.PERMANENT
