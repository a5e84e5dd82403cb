"""qmail-smtpd: receive mail via SMTP.

    qmail-smtpd                     one connection on descriptors 0 and 1
    qmail-smtpd --listen [-v]       listen for connections; -v logs each of them

The first form is run by tcpserver, inetd or systemd for each connection, with tcp-environ(5)'s variables.
It exits 0 after QUIT, 1 when the connection ended otherwise.

The second form listens on the addresses in control/smtplisten (default: port 25 of all addresses; or
on the sockets that systemd passes), follows the rules in control/tcp.smtp.cdb, which tcprules makes,
and has at most control/concurrencyincoming connections at once (100), at most
control/concurrencyperip (half of that) from one address. Loopback is not counted for the latter. It
sets the variables that tcpserver sets, TCPLOCALHOST from control/me; RBLSMTPD, set by a rule, turns
a client away as rblsmtpd would. Control files and rules that have changed count from the next
connection on (HUP makes sure of it), addresses and limits from the next start. TERM ends it, after
the messages that are under way.

Control files: me smtpgreeting localiphost rcpthosts morercpthosts.cdb badmailfrom databytes timeoutsmtpd
maxrecipients (10000 recipients a message) rcptcheck (1: qmail-rcptcheck is asked about recipients) maxunknown (20
unknown recipients a connection). Variables: RELAYCLIENT DATABYTES QMAILQUEUE TCP*.

**Security**: reads strangers' bytes, as qmaild, confined to what submitting takes. Listening, it is root only until
its sockets are bound. Messages go to qmail-queue with the client's words in the Received line made harmless. Without
control/rcpthosts nothing is relayed. Source: qmail-smtpd(8), tcpserver(1), rblsmtpd(1).
"""
from ..base import errors


def main(argv):
    if not argv:
        from ..queue.confined import by_itself
        from ..smtp import classic
        by_itself("qmail-smtpd")
        return classic.run()
    if argv[0] == b"--listen" and argv[1:] in ([], [b"-v"]):
        from ..smtp import server   # asyncio and aiosmtpd: never for the classic program
        return server.serve(verbose=len(argv) > 1)
    errors.say("qmail-smtpd: usage: qmail-smtpd [--listen [-v]]")
    return errors.PERMANENT
