"""clearopensmtp: end the relaying of roaming users whose time is over.

    clearopensmtp

Takes the addresses out of VPOPHOME/etc/open-smtp from which nobody has read mail for three hours (or as long as
VPOPHOME/options says, relay-clear-minutes), and makes tcp.smtp.cdb anew from the fixed rules and those that are left.
To be run by cron. Arguments are ignored. Exit codes: 0; 100 rules that
cannot be understood, 111 a file that cannot be changed: the old table stays.

**Security**: run by root, or by vpopmail where both files are his; reads nothing that strangers write.
Source: vpopmail's clearopensmtp, as recorded.
"""
from ..base import netio
from ..vpopmail import home, roaming

DISABLED = b"vpopmail not configure with --enable-roaming-users\n"


def main(argv):
    if not home.enabled(b"roaming-users"):
        netio.write_all(1, DISABLED)
        return 0
    roaming.expire()
    return 0
