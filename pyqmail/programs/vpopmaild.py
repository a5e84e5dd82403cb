"""vpopmaild: administration of virtual domains over a connection.

    tcpserver -H -R 127.0.0.1 89 VPOPHOME/bin/vpopmaild

Serves one client on descriptors 0 and 1 (one socket, as tcpserver gives it): after `login user@domain password`
users may change their own password and files, domain administrators what belongs to their domain, system
administrators everything; `help` lists the commands. Ends after a minute without a byte.

Exit codes: 0 after quit; 255 when the client went away, was silent, or did not log in; 111 temporary trouble.

**Security**: run by root, as domains are made and removed here. Passwords pass in clear: let it listen on the
loopback address only, or behind TLS. Before the login a process that has become qmaild, and can do nothing but talk,
reads what clients write; root gets a name and a password. Lines, their number and files are bounded; files are
reached with the rights of the domain's owner, never through a symbolic link.
Source: vpopmail's vpopmaild, as recorded.
"""
import os

from ..base import limits
from ..vpopmail import daemon_front


def main(argv):
    os.umask(0o077)
    limits.enter("vpopmaild")
    return daemon_front.serve(0, 1, os.environb.get(b"TCPREMOTEIP", b""))
