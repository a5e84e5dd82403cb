"""Asking an account, as the owner of its domain: who is it, is that its password, change it.

Each question is a process of its own that becomes the owner and then looks into his files and compares. It answers
with fields of bounded length, in which the uid has no place: whose uid it is says users/cdb.

**Security**: called by root, which looks at a name only to find its domain.
"""
from ..auth import failures
from ..base import accounts as roles, child, prot, sig
from ..base.errors import Temporary, text
from ..vpopmail import accounts, assign, flags, home, login, names, userdir, users
from ..vpopmail.errors import Refused
from ..vpopmail.login import Failure

LIMIT = 65536                       # bytes of an answer
TIME = 60                           # s until a question is given up
KNOWN, REFUSED, TROUBLE = b"+", b"-", b"!"


class Found:
    """uid, gid; address: user@domain, the real one; comment, home, quota; flags that hold; means of the proof."""

    __slots__ = ("uid", "gid", "address", "comment", "home", "quota", "flags", "means")

    def __init__(self, domain, fields):
        self.uid, self.gid = domain.uid, domain.gid
        self.address, self.comment, self.home, self.quota, self.flags, self.means = fields
        self.flags = int(self.flags)


def check(name, secret, ip, closing=0, challenge=b"", method=None):
    """The Found of a name with its password or, with a method of login.METHODS, its answer to a challenge.

    Of an account without any of the flags `closing` the login is noted, and its directory made if it is missing.
    Raises Failure, Temporary, OSError.
    """
    def prove(domain, account):
        if method:
            return login.by_hmac(account, secret, challenge, method)
        return login.proof(domain, account, secret, b"", None)

    def work():
        found = login.identify(name, secret, ip, prove)
        if not found.flags & closing:
            userdir.make(found.domain, found.account)
            userdir.note(found.domain, found.account, ip)
        return fields(found.domain, found.account, found.flags, found.means)
    return ask(name, work)


def look_up(name):
    """The Found of a name, None if there is no such user. Raises Temporary, OSError."""
    def work():
        domain = domain_of(name)
        account = accounts.store(domain).get(names.parse(name)[0]) if domain else None
        if account is None:
            raise Failure(login.WRONG, b"", unknown=True)
        return fields(domain, account, login.flags_of(domain, account), b"")
    try:
        return ask(name, work)
    except Failure:
        return None


def change(name, old, new, ip):
    """Give a user another password. Raises Failure, Temporary, OSError."""
    def work():
        found = login.identify(name, old, ip, lambda domain, account: login.proof(domain, account, old, b"", None))
        who = b"%b@%b:%b" % (found.account.name, found.domain.name, ip)
        if found.flags & flags.NO_PASSWD_CHNG:
            raise Failure(login.WRONG, b"password change denied " + who)
        if not new:
            raise Failure(login.NO_PASSWORD, b"null password given " + who)
        try:
            users.change_password(found.domain, found.account.name, new)
        except Refused as why:
            raise Failure(login.WRONG, b"password not changed: %b: %b" % (str(why).encode(), who)) from why
        return fields(found.domain, found.account, found.flags, b"")
    return ask(name, work)


def domain_of(name):
    """The Domain of an address, None if it has none."""
    try:
        _, host = names.parse(name)
    except names.BadName:
        return None
    return assign.find(host) if host else None


def fields(domain, account, held, means):
    return (b"%b@%b" % (account.name, domain.real), account.comment, userdir.directory_of(domain, account),
            b"" if account.quota.startswith(b"NO") else account.quota, b"%d" % held, means)


def ask(name, work):
    """The Found of the fields that work() returns, in a process that is the owner of the domain of `name`, or nobody
    in particular if it has none. Raises Failure, Temporary, OSError."""
    domain = domain_of(name)
    owner = (domain.uid, domain.gid) if domain else roles.ids("qmailp")
    home.option(b"logging")         # read, all of them, before it may not be possible any more
    failures.hold()
    status, answer = child.result_of(lambda: carry_out(owner, work), LIMIT)
    kind, *words = answer.split(b"\0")
    if status == 0 and kind == KNOWN and len(words) == 6 and domain:
        return Found(domain, words)
    if status == 0 and kind == REFUSED and len(words) == 4:
        raise Failure(int(words[0]), words[1], words[2] or None, words[3] == b"unknown")
    if status == 0 and kind == TROUBLE:
        raise Temporary(words[0].decode(errors="replace"))
    raise Temporary("the check took too long" if status == -sig.ALRM else f"the check ended with status {status}")


def carry_out(owner, work):
    """The life of such a process: its answer."""
    sig.default(sig.ALRM)
    sig.alarm(TIME)
    try:
        prot.become(*owner)
        return packed(KNOWN, *work())
    except Failure as why:
        return packed(REFUSED, b"%d" % why.code, why.text, why.complaint or b"", b"unknown" if why.unknown else b"")
    except Temporary as why:
        return packed(TROUBLE, str(why).encode())
    except OSError as why:
        return packed(TROUBLE, text(why).encode())


def packed(*words):
    return b"\0".join(word.replace(b"\0", b"?") for word in words)
