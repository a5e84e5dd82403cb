"""Dovecot's side of a checkpassword program: what it asks, and how it wants to be answered.

Dovecot (passdb and userdb "checkpassword") runs the program with a program of its own, checkpassword-reply, as the only
argument. Descriptor 3 has name NUL password NUL NUL; SERVICE, REMOTE_IP and LOCAL_IP stand in the environment. The
answer is the environment in which checkpassword-reply runs: USER, HOME and the variables that EXTRA names. The uid
stays what it is; Dovecot's own processes take the user's.

Without a password (AUTHORIZED=1: userdb look-ups of LMTP, doveadm) AUTHORIZED becomes 2. Exit codes: 0 and 2 are
checkpassword-reply's; 1 refused; 3 no such user, in a look-up only; 111 temporary trouble.
Source: Dovecot's checkpassword documentation, and what Dovecot 2.3.19 does.
"""
import os

from ..base import child, errors, maildirsize
from ..vpopmail import accounts, assign, checker, home, loginlog, names, userdir
from ..vpopmail.login import IMAP, POP, SMTP, WEBMAIL, Failure

REFUSED, UNKNOWN = 1, 3
SERVICES = {b"imap": IMAP, b"pop3": POP, b"smtp": SMTP, b"submission": SMTP}


class Connection:
    """As checker.Connection; service: None where no flag closes it (doveadm, LMTP, sieve)."""

    def __init__(self, environ):
        self.ip = checker.plain(environ.get(b"REMOTE_IP", b""))
        name = environ.get(b"SERVICE", b"")
        self.service = SERVICES.get(name)
        if self.service in (IMAP, POP) and self.ip == checker.LOOPBACK:
            self.service, name = WEBMAIL, b"webmail"
        self.name = "vchkpw-" + checker.plain(name).decode()


def answer(argv, environ, name, secret):
    """Answer Dovecot's question; the exit code, if it is not checkpassword-reply's. Raises Temporary, OSError."""
    os.environb.pop(b"TCPLOCALIP", None)
    if b"LOCAL_IP" in environ:
        os.environb[b"TCPLOCALIP"] = environ[b"LOCAL_IP"]       # whose domain a bare name belongs to
    if environ.get(b"AUTHORIZED") == b"1":
        found = look_up(name)
        if found is None:
            return UNKNOWN
        environ = {**environ, b"AUTHORIZED": b"2"}
    else:
        connection = Connection(environ)
        try:
            found = checker.admit(connection, name, secret)
        except Failure as why:
            loginlog.refused(connection.name, why.text)
            return REFUSED
    try:
        child.execute(argv, environ | variables(found))
    except OSError as why:
        errors.say("vchkpw: fatal: unable to run ", argv[0], ": ", errors.text(why))
    return errors.TEMPORARY


def look_up(name):
    """The checker.Admitted of a name without a login, None if nobody has it. Raises Temporary, OSError."""
    try:
        user, host = names.parse(name)
    except names.BadName:
        return None
    domain = assign.find(host) if host else None
    account = accounts.store(domain).get(user) if domain and user else None
    if account is not None:
        userdir.make(domain, account)
        return checker.of(domain, account, names.lower(name))
    if home.enabled(b"passwd"):
        from ..auth import accounts as system   # only where VPOPHOME/options asks for it
        account = system.lookup(user)[0]
        if account is not None and account.uid != 0:
            return checker.of_system(account)
    return None


def variables(found):
    """What checkpassword-reply tells of a user (checker.Admitted)."""
    told = {b"userdb_uid": b"%d" % found.uid, b"userdb_gid": b"%d" % found.gid,
            b"userdb_mail": b"maildir:%b/Maildir" % found.directory}
    rule = quota_rule(found.quota)
    if rule:
        told[b"userdb_quota_rule"] = rule
    return {**told, b"USER": found.address or found.name, b"HOME": found.directory, b"EXTRA": b" ".join(told)}


def quota_rule(text):
    """Dovecot's rule for a stored quota, b"" if there is no limit."""
    quota = maildirsize.parse(text)
    limits = [b"bytes=%d" % quota.bytes] * bool(quota.bytes) + [b"messages=%d" % quota.count] * bool(quota.count)
    return b"*:" + b":".join(limits) if limits else b""
