"""The configuration with which Debian's Dovecot serves our accounts, as `qmailctl imap dovecot` writes it.

Two files in QMAILHOME/imap:

    dovecot-accounts.conf   who the users are, where their mail lies, quotas; nothing else. To be included by any
                            configuration of Dovecot's
    dovecot.conf            a Dovecot of its own with them, everything it writes below QMAILHOME: dovecot -c FILE

Both are written anew each time; changes belong into QMAILHOME/imap/dovecot-local.conf, which the second one reads at
its end and which is never touched. /etc/dovecot is not.
"""
import os

from ..base import home
from ..vpopmail import files

DIRECTORY = "imap"
ACCOUNTS, WHOLE, LOCAL = "dovecot-accounts.conf", "dovecot.conf", "dovecot-local.conf"
MODE = 0o644
LOWEST = 1                          # uid; root is never a mail user, and vchkpw names no other

ACCOUNTS_TEXT = """# Written by `qmailctl imap dovecot`: changes are lost.
# Users of virtual domains are asked through vchkpw(8), which keeps the uid it has: root, as domains have owners.
passdb {
  driver = checkpassword
  args = PROGRAM
}
userdb {
  driver = prefetch
}
userdb {
  driver = checkpassword
  args = PROGRAM
}
service auth {
  user = root
}
# A login opens the relay and notes its time: no answer may come from Dovecot's memory.
auth_cache_size = 0
auth_username_format = %Lu
# Whatever vchkpw takes for a name.
auth_username_chars =
first_valid_uid = LOWEST

mail_location = maildir:~/Maildir
namespace inbox {
  inbox = yes
  separator = .
  prefix = INBOX.
}
mail_plugins = $mail_plugins quota
protocol imap {
  mail_plugins = $mail_plugins imap_quota
}
plugin {
  quota = maildir:User quota
}
"""

WHOLE_TEXT = """# Written by `qmailctl imap dovecot`: changes are lost. Yours belong into PLACE/LOCAL.
protocols = imap
listen = *, ::
base_dir = HOME/run/dovecot
state_dir = HOME/run/dovecot
instance_name = pyqmail
log_path = syslog
syslog_facility = mail
auth_mechanisms = plain login
disable_plaintext_auth = yes
ssl = yes
ssl_min_protocol = TLSv1.2
ssl_cert = <CERTIFICATE
ssl_key = <CERTIFICATE
!include ACCOUNTS
!include_try LOCAL
"""


def texts(certificate):
    """{name: text} of the files. certificate: the path of a PEM file with key and certificate."""
    accounts = ACCOUNTS_TEXT.replace("PROGRAM", home.program("vchkpw")).replace("LOWEST", str(LOWEST))
    whole = WHOLE_TEXT.replace("PLACE", home.path(DIRECTORY)).replace("LOCAL", LOCAL).replace("ACCOUNTS", ACCOUNTS)
    return {ACCOUNTS: accounts, WHOLE: whole.replace("HOME", home.HOME).replace("CERTIFICATE", certificate)}


def write(certificate, tell):
    """Write what is not there as it should be. tell(line) hears of it. Raises OSError."""
    for name, text in texts(certificate).items():
        path = os.fsencode(home.path(DIRECTORY, name))
        if files.read(path) != text.encode():
            files.replace(path, text.encode(), MODE)
            tell(f"made {DIRECTORY}/{name}")
