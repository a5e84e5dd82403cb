"""The settings of a fresh Courier IMAP on our accounts: the files below etc/ of its tree.

Shell assignments, read by imapd.rc and by Courier's programs from their environment; authdaemonrc is read by
authdaemond itself. PREFIX and the other words in capitals between @ are filled in.
"""

IMAPD = """\
# Settings of IMAP, read by libexec/imapd.rc as shell: imapd(8), imapd.rc(8).

# Where to listen: an address, 0 for all, and a port; or for PORT a list such as 127.0.0.1.143,192.0.2.1.143
ADDRESS=@ADDRESS@
PORT=@PORT@

# Connections at once, and of one address.
MAXDAEMONS=40
MAXPERIP=20

PIDFILE=@PREFIX@/run/imapd.pid
TCPDOPTS="-nodnslookup -noidentlookup"

# Who knows the users. authvchkpw and authdaemon mean the same here: users of virtual domains, by authdaemond.
AUTHMODULES="authvchkpw"

# AUTH=CRAM-MD5 works for users whose clear passwords are kept: clear-passwd in VPOPHOME/options.
IMAP_CAPABILITY="IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA@CRAM@ IDLE"
IMAP_CAPABILITY_TLS="$IMAP_CAPABILITY AUTH=PLAIN"
IMAP_KEYWORDS=1
IMAP_ACL=1
IMAP_DISABLETHREADSORT=0
IMAP_CHECK_ALL_FOLDERS=0
IMAP_OBSOLETE_CLIENT=0

# Seconds between two looks for new mail while a client is idle.
IMAP_IDLE_TIMEOUT=60
IMAP_ENHANCEDIDLE=0

# 1: the home and the Maildir must belong to the user's uid.
IMAP_MAILBOX_SANITY_CHECK=1

IMAP_UMASK=022
IMAP_ULIMITD=131072
IMAP_USELOCKS=1

# Messages in Trash are deleted after seven days.
IMAP_TRASHFOLDERNAME=Trash
IMAP_EMPTYTRASH=Trash:7
IMAP_MOVE_EXPUNGE_TO_TRASH=0

# OUTBOX=.Outbox would send what is put into that folder.
SENDMAIL=@HOME@/bin/sendmail
HEADERFROM=X-IMAP-Sender

# DEFDOMAIN="@example.com" would complete names without a domain.

# YES: "qmailctl start" starts it.
IMAPDSTART=YES
MAILDIRPATH=Maildir
"""

IMAPD_SSL = """\
# Settings of IMAP over TLS, read by libexec/imapd-ssl.rc and, for STARTTLS, by imapd.rc: imapd.rc(8).

SSLADDRESS=@SSLADDRESS@
SSLPORT=@SSLPORT@
SSLPIDFILE=@PREFIX@/run/imapd-ssl.pid

# YES: "qmailctl start" starts imapd-ssl.
IMAPDSSLSTART=YES

# STARTTLS on the usual port; with IMAP_TLS_REQUIRED=1 nobody logs in without.
IMAPDSTARTTLS=YES
IMAP_TLS_REQUIRED=0

COURIERTLS=@PREFIX@/bin/couriertls

# Key and certificate, made by sbin/mkimapdcert from etc/imapd.cnf, or put there by you; for user courier to read.
TLS_CERTFILE=@PREFIX@/share/imapd.pem
TLS_TRUSTCERTS=/etc/ssl/certs/ca-certificates.crt
TLS_VERIFYPEER=NONE
MAILDIRPATH=Maildir
"""

AUTHDAEMONRC = """\
# Settings of authdaemond, a line each: authdaemond(8).

# authvchkpw, the users of virtual domains, is the module there is.
authmodulelist="authvchkpw"
authmodulelistorig="authvchkpw"

# Passwords compared at once.
daemons=5

# Where the socket is: Courier's programs as Debian has them look nowhere else.
authdaemonvar=/run/courier/authdaemon

# 1: requests are logged; 2: with passwords.
DEBUG_LOGIN=0

# For accounts without an option of that name, for instance "disablewebmail=1".
DEFAULTOPTIONS=""

LOGGEROPTS="-facility=mail"
"""

OPENSSL_CNF = """\
# What the certificate says: change this, then share/mkimapdcert. CN is the name that clients connect to.

[ req ]
default_bits = 2048
encrypt_key = no
distinguished_name = req_dn
x509_extensions = cert_type
prompt = no

[ req_dn ]
C = US
ST = NY
L = New York
O = Courier Mail Server
OU = Automatically-generated IMAP SSL key
CN = @NAME@
emailAddress = postmaster@@DOMAIN@

[ cert_type ]
basicConstraints = CA:FALSE
subjectAltName = DNS:@NAME@
"""

CERTTOOL_CNF = """\
# What the certificate says: change this, then share/mkimapdcert. cn and dns_name: what clients connect to.
organization = "Courier Mail Server"
unit = "Automatically-generated IMAP SSL key"
locality = "New York"
state = "NY"
country = US
cn = "@NAME@"
dns_name = "@NAME@"
serial = 001
expiration_days = 365
email = "postmaster@@DOMAIN@"
tls_www_server
"""

UNIT = """\
[Unit]
Description=qmail: Courier IMAP on the accounts of virtual domains
After=network.target remote-fs.target
Conflicts=courier-authdaemon.service courier-imap.service courier-imap-ssl.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=@HOME@/bin/qmailctl imap start
ExecStop=@HOME@/bin/qmailctl imap stop

[Install]
WantedBy=multi-user.target
"""


def filled(text, **words):
    """The text with each @WORD@ replaced."""
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
