"""Who a mail user is: name and password, APOP or CRAM-MD5 against the account, and what the account may do.

    found = check(b"joe@example.com", secret, challenge, SMTP / POP / IMAP / WEBMAIL)

The result is a Login, or Failure is raised with the exit code of vchkpw and the text for the log. A name that nobody
has costs the time of a wrong password. Source: vpopmail's vchkpw, as recorded.
"""
import os
from _operator import _compare_digest as same    # hmac.compare_digest, without hmac's 10 ms

from ..auth import failures, hashes
from . import accounts, assign, flags, home, limits, names, passwords
from .errors import Refused

SMTP, POP, IMAP, WEBMAIL = "smtp", "pop", "imap", "webmail"
CLOSED = {SMTP: flags.NO_SMTP, POP: flags.NO_POP, IMAP: flags.NO_IMAP, WEBMAIL: flags.NO_WEBMAIL}
WRONG, NO_NAME, NO_PASSWORD, NO_HASH, BAD_CHARACTERS, NO_SYSTEM_USER = 1, 12, 13, 15, 20, 21
METHODS = {b"cram-md5": "md5", b"cram-sha1": "sha1", b"cram-sha256": "sha256"}
BLOCK = 64                          # bytes of MD5's block, for HMAC


class Failure(Exception):
    """No login. code: what vchkpw exits with. text: for the log, without the service's name. complaint: a line for
    standard error or None. unknown: there is no such user."""

    def __init__(self, code, text, complaint=None, unknown=False):
        super().__init__(os.fsdecode(text))
        self.code, self.text, self.complaint, self.unknown = code, text, complaint, unknown


class Login:
    """domain: assign.Domain, account: accounts.Account, flags: those that hold for it, means: PLAIN, APOP, CRAM-MD5."""

    __slots__ = ("domain", "account", "flags", "means")

    def __init__(self, domain, account, flags, means):
        self.domain, self.account, self.flags, self.means = domain, account, flags, means


def check(name, secret, challenge, service, ip=b"", final=True):
    """The Login of a name with its password, or with its answer to a challenge. service: None where it is for none.
    final: see identify(). Raises Failure, Temporary."""
    found = identify(
        name, secret, ip, lambda domain, account: proof(domain, account, secret, challenge, service), final)
    if found.flags & CLOSED.get(service, 0):
        who = b"%b@%b:%b" % (found.account.name, found.domain.name, ip)
        raise Failure(WRONG, b"%b access denied %b" % (service.encode(), who))
    return found


def identify(name, secret, ip, prove, final=True):
    """The Login of a name, whatever its flags say. prove(domain, account): by what means the secret proves that it is
    the user, None if it does not. final: False where a name that nobody has is looked for elsewhere, which then counts
    the failure. Raises Failure, Temporary."""
    if not name:
        raise Failure(NO_NAME, b"null user name given :" + ip)
    if not secret:
        raise Failure(NO_PASSWORD, b"null password given %b:%b" % (name.lower(), ip))
    try:
        user, host = names.parse(name)
    except names.BadName as why:
        raise Failure(BAD_CHARACTERS, b"invalid user/domain characters %b:%b" % (name.lower(), ip), why.line) from why
    address = b"%b@%b" % (user, host)
    who = b"%b:%b" % (address, ip)
    limit = allowed()
    if failures.too_many(address, ip, limit):
        hashes.spend(secret, setting())
        raise Failure(WRONG, b"too many failed logins " + who)
    domain = assign.find(host) if host else None
    account = accounts.store(domain).get(user) if domain and user else None
    means = prove(domain, account) if account else hashes.spend(secret, setting())
    if means is None:
        if account or final:
            failures.note(address, ip, limit)
        raise failure(account, secret, who)
    return Login(domain, account, flags_of(domain, account), means)


def allowed():
    """How many failures are allowed (see auth/failures.py)."""
    value = home.option(b"login-failures")
    return failures.allowed() if not value else int(value) if value.isdigit() else 0


def flags_of(domain, account):
    """The flags that hold for an account. A home without any limits file, as old versions have it, limits nobody."""
    try:
        return limits.effective(domain, account)
    except Refused:
        return account.flags


def failure(account, secret, who):
    """Why there was no proof."""
    if account is None:
        return Failure(WRONG, b"vpopmail user not found " + who, unknown=True)
    if not account.hash:
        return Failure(NO_HASH, b"user has no password " + who)
    shown = b" (pass: '%b')" % secret if home.option(b"logging") in (b"p", b"v") else b""
    return Failure(WRONG, b"password fail%b %b" % (shown, who))


def proof(domain, account, secret, challenge, service):
    """How the secret proves that it is the user: b"PLAIN", b"APOP", b"CRAM-MD5"; None if it does not."""
    if account.clear and challenge:
        if service == SMTP and same(hmac_md5(account.clear, challenge), secret):
            return b"CRAM-MD5"
        if service in (POP, WEBMAIL) and same(md5(challenge + account.clear).hexdigest().encode(), secret):
            return b"APOP"
    if not account.hash:
        hashes.spend(secret, setting())
        return b"PLAIN" if learn(domain, account, secret) else None
    if not hashes.usable(account.hash):
        hashes.spend(secret, setting())
        return None
    return b"PLAIN" if hashes.matches(secret, account.hash) else None


def by_hmac(account, secret, challenge, method):
    """b"CRAM-MD5", or what `method` of CRAM is called, if the secret is the account's answer to the challenge, a
    hexadecimal HMAC; None if it is not. method: a name of METHODS. It takes as long as a password."""
    hashes.spend(secret, setting())
    if not account.clear or not challenge:
        return None
    from hmac import digest             # milliseconds that other logins do without
    answer = digest(account.clear, challenge, METHODS[method]).hex().encode()
    return method.upper() if same(answer, secret) else None


def setting():
    """A hash of the kind that new accounts have, to compute with where there is none."""
    prefix, length = passwords.SETTINGS.get(home.option(b"password-hash"), (b"$6$", 16))
    return prefix + b"." * length + (b"$" if prefix else b"")


def learn(domain, account, secret):
    """Where the first password somebody uses shall become his: store it; False where it shall not."""
    if not home.enabled(b"learn-passwords") or len(secret) > names.PASSWORD:
        return False
    new, kept = passwords.make(secret), passwords.kept(secret)

    def set_password(stored):
        stored.hash, stored.clear = new, kept
    store = accounts.store(domain)
    store.change(account.name, set_password)
    from . import users                 # only where a password is learned
    users.write_sqwebmail(domain, store.get(account.name))
    return True


def md5(data):
    from hashlib import md5 as new   # milliseconds that a login by password does without
    return new(data, usedforsecurity=False)


def hmac_md5(key, text):
    """Hexadecimal HMAC-MD5 (RFC 2104), as CRAM-MD5 has it."""
    if len(key) > BLOCK:
        key = md5(key).digest()
    key = key.ljust(BLOCK, b"\0")
    inner = md5(bytes(byte ^ 0x36 for byte in key) + text).digest()
    return md5(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest().encode()
