"""A login from a name and a secret to somebody a process can become: what vchkpw does before it runs its program.

    found = admit(connection, name, secret, challenge)      raises login.Failure, Temporary
    environ |= found.variables()
    found.enter()

The login is logged and noted in lastauth, and opens the relay for its address. With the option passwd a name that no
mail user has may be that of an account of the system. Every refusal then costs the same: two comparisons, one here and
one among the accounts of the system, with the pause that PAM makes.
Source: vpopmail's vchkpw, as recorded.
"""
import os

from ..auth import checkpassword
from ..base import prot
from . import flags, home, login, loginlog, names, place, roaming, userdir
from .login import IMAP, POP, SMTP, WEBMAIL, Failure

#  port        service  name in the log
PORTS = {b"25": (SMTP, "smtp"), b"465": (SMTP, "smtps"), b"587": (SMTP, "submission"), b"110": (POP, "pop3"),
         b"995": (POP, "pop3s"), b"143": (IMAP, "imap"), b"993": (IMAP, "imaps")}
LOOPBACK = b"127.0.0.1"
ADDRESS = names.ALNUM + b".:-"


class Connection:
    """What the environment and the program's name tell about a client. service: login.POP and so on; ip: bytes; name:
    for the log."""

    def __init__(self, environ, program):
        self.ip = plain(environ.get(b"TCPREMOTEIP", environ.get(b"REMOTE_HOST", b"")))
        port = environ.get(b"TCPLOCALPORT", b"")
        guessed = SMTP if b"true" in program else IMAP if b"imap" in program else POP
        number = port.decode() if port.isdigit() else "0"
        self.service, self.name = PORTS.get(port, (guessed, number))
        if self.service != SMTP and self.ip == LOOPBACK:
            self.service = self.name = WEBMAIL
        self.name = "vchkpw-" + self.name


def plain(ip):
    """An address as it is logged and listed: an IPv4 one never in IPv6 form, nothing but what addresses consist of."""
    return bytes(byte if byte in ADDRESS else ord("_") for byte in ip.removeprefix(b"::ffff:"))


class Admitted:
    """Who has logged in. name: without domain; address: with it, b"" for an account of the system; uid, gid; directory:
    the user's; base: the domain's directory, b"" for an account of the system; given: the name as it was given, in
    lower case; shell; quota in its stored form. All but the numbers are bytes."""

    FIELDS = ("name", "address", "directory", "base", "given", "shell", "quota")

    def __init__(self, uid, gid, **fields):
        self.uid, self.gid = uid, gid
        for field in self.FIELDS:
            setattr(self, field, fields[field])

    def pack(self):
        """As bytes, for the process that becomes this user."""
        return b"\0".join((b"%d" % self.uid, b"%d" % self.gid, *(getattr(self, field) for field in self.FIELDS)))

    @classmethod
    def unpack(cls, data):
        """Raises ValueError."""
        uid, gid, *fields = data.split(b"\0")
        return cls(int(uid), int(gid), **dict(zip(cls.FIELDS, fields, strict=True)))

    def variables(self):
        """What the environment of the user's program gets."""
        found = {b"USER": self.name, b"HOME": self.directory, b"SHELL": self.shell}
        return found | {b"VPOPUSER": self.given} if self.base else found

    def enter(self):
        """Be the user, in his directory. Raises Temporary, OSError."""
        if self.base:
            os.chdir(self.base)                 # as root: the way there may be closed to the owner
            prot.become(self.uid, self.gid)
            os.chdir(place.relative(self.base, self.directory))
        else:
            checkpassword.become(self.account())

    def account(self):
        from ..auth import accounts             # see system_account()
        return accounts.Account(self.name, self.uid, self.gid, self.directory, self.shell)


def admit(connection, name, secret, challenge=b""):
    """The Admitted whose name and secret these are. Raises login.Failure, Temporary, OSError."""
    both = home.enabled(b"passwd")
    try:
        found = login.check(name, secret, challenge, connection.service, connection.ip, final=not both)
    except Failure as why:
        if both and why.unknown:
            return system_account(connection, name, secret)
        if both and os.geteuid() == 0:
            from ..auth import accounts
            accounts.spend(secret)
        raise
    address = b"%b@%b" % (found.account.name, found.domain.name)
    loginlog.accepted(connection.name, found.means, address, connection.ip)
    return admitted(connection, found, names.lower(name))


def admitted(connection, found, given):
    """The Admitted of a login.Login, with all that it leads to."""
    domain, account = found.domain, found.account
    userdir.note(domain, account, connection.ip)
    if connection.service != SMTP:
        open_relay(connection, found.flags)
        userdir.make(domain, account)
    return of(domain, account, given)


def of(domain, account, given):
    """The Admitted of an account that needs no login."""
    return Admitted(domain.uid, domain.gid, name=account.name, address=b"%b@%b" % (account.name, domain.real),
                    directory=userdir.directory_of(domain, account), base=domain.directory, given=given,
                    shell=b"NOLOGIN", quota=account.quota)


def open_relay(connection, held=0):
    if not held & flags.NO_RELAY and home.enabled(b"roaming-users"):
        roaming.try_open(connection.ip)


def system_account(connection, name, secret):
    """The name of nobody here may be that of an account of the system."""
    from ..auth import accounts, failures       # only where VPOPHOME/options asks for it
    user, _ = names.parse(name)
    who = b"%b:%b" % (user, connection.ip)
    try:
        account = accounts.login(user, secret, connection.ip)
    except failures.TooMany:
        raise Failure(login.WRONG, b"too many failed logins " + who) from None
    if account is None and accounts.lookup(user)[0] is None:
        raise Failure(login.NO_SYSTEM_USER, b"system user not found " + who, unknown=True)
    if account is None:
        raise Failure(login.WRONG, b"password fail " + who)
    if connection.service != SMTP:
        open_relay(connection)
    return of_system(account)


def of_system(account):
    """The Admitted of an account of the system."""
    return Admitted(account.uid, account.gid, name=account.name, address=b"", directory=account.home, base=b"",
                    given=account.name, shell=account.shell, quota=b"")
