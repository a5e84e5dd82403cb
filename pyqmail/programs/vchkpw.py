"""vchkpw: check the password of a mail user, become the owner of his domain, run a program.

    vchkpw PROGRAM [ARGUMENT …]             login on descriptor 3

The checkpassword interface for virtual users: name NUL password NUL challenge NUL, at most 512 bytes. With the
right password, or the right answer to the challenge (APOP; CRAM-MD5 for SMTP; both need a stored clear password),
it notes the login in lastauth, opens the relay for the client's address, takes uid and gid of the domain, goes to
the user's directory, which is made anew if it is missing, and executes PROGRAM, looked up along PATH, with USER,
HOME, SHELL=NOLOGIN and VPOPUSER set. For SMTP neither relay nor uid nor directory are touched.

Which service it is: TCPLOCALPORT (25 465 587 SMTP, 110 995 POP, 143 993 IMAP), else PROGRAM ("true": SMTP, "imap":
IMAP, others POP). From TCPREMOTEIP 127.0.0.1, POP and IMAP are webmail.

Exit codes: 1 wrong password, unknown user, or not allowed; 2 misused; 11 no descriptor 3; 12 no name; 13 no password;
15 account without a password; 20 characters that no address has; 21 unknown system account (option passwd); 111
temporary trouble. Refusals are logged (mail.notice); successes where VPOPHOME/options has `logging y` or `v`.

**Security**: started by root; what it reads comes from strangers, and takes the same time whether the user exists.
Files are written with the rights of the domain's owner; a domain of uid 0 is refused.
Source: vpopmail's vchkpw, as recorded; the checkpassword interface.
"""
import errno
import os

from ..auth import checkpassword
from ..base import child, errors, prot
from ..vpopmail import flags, home, login, loginlog, names, place, roaming, userdir
from ..vpopmail.login import IMAP, POP, SMTP, WEBMAIL, Failure

NO_DESCRIPTOR = 11
NOT_HERE = ("vchkpw is only for talking with qmail-popup and qmail-pop3d. It is not for runnning on the command line.")
#  port        service  name in the log
PORTS = {b"25": (SMTP, "smtp"), b"465": (SMTP, "smtps"), b"587": (SMTP, "submission"), b"110": (POP, "pop3"),
         b"995": (POP, "pop3s"), b"143": (IMAP, "imap"), b"993": (IMAP, "imaps")}
LOOPBACK = b"127.0.0.1"
ADDRESS = names.ALNUM + b".:-"


class Connection:
    """What the environment and the program's name tell about a client."""

    def __init__(self, environ, program):
        ip = environ.get(b"TCPREMOTEIP", environ.get(b"REMOTE_HOST", b"")).removeprefix(b"::ffff:")
        self.ip = bytes(byte if byte in ADDRESS else ord("_") for byte in ip)
        port = environ.get(b"TCPLOCALPORT", b"")
        guessed = SMTP if b"true" in program else IMAP if b"imap" in program else POP
        number = port.decode() if port.isdigit() else "0"
        self.service, self.name = PORTS.get(port, (guessed, number))
        if self.service != SMTP and self.ip == LOOPBACK:
            self.service = self.name = WEBMAIL
        self.name = "vchkpw-" + self.name


def main(argv):
    environ = child.environment()
    connection = Connection(environ, argv[0] if argv else b"")
    try:
        data = checkpassword.receive()
    except OSError as why:
        if why.errno != errno.EBADF:
            raise
        errors.say(connection.name, ": ", NOT_HERE)
        return NO_DESCRIPTOR
    if not argv:
        errors.say("vchkpw: usage: vchkpw program [ arg ... ]")
        return checkpassword.MISUSED
    if data is None:
        return login.WRONG                  # longer than any login
    name, secret, challenge = (data.split(b"\0", 3) + [b"", b"", b""])[:3]
    try:
        found = login.check(name, secret, challenge, connection.service, connection.ip)
    except Failure as why:
        if why.unknown and home.enabled(b"passwd"):
            return system_account(connection, argv, environ, name, secret)
        return refuse(connection, why)
    loginlog.accepted(connection.name, found.means, b"%b@%b" % (found.account.name, found.domain.name), connection.ip)
    userdir.note(found.domain, found.account, connection.ip)
    environ |= {b"USER": found.account.name, b"HOME": userdir.directory_of(found.domain, found.account),
                b"SHELL": b"NOLOGIN", b"VPOPUSER": names.lower(name)}
    if connection.service != SMTP:
        if not found.flags & flags.NO_RELAY and home.enabled(b"roaming-users"):
            roaming.try_open(connection.ip)
        enter(found)
    return execute(argv, environ)


def enter(found):
    """Be the owner of the domain, in the user's directory. Raises Temporary, OSError."""
    domain = found.domain
    directory = userdir.make(domain, found.account)
    os.chdir(domain.directory)              # as root: the way there may be closed to the owner
    prot.become(domain.uid, domain.gid)
    os.chdir(place.within(domain, directory))


def execute(argv, environ):
    try:
        child.execute(argv, environ)
    except OSError as why:
        errors.say("vchkpw: fatal: unable to run ", argv[0], ": ", errors.text(why))
    return checkpassword.TROUBLE


def refuse(connection, why):
    if why.complaint:
        errors.say(why.complaint)
    loginlog.refused(connection.name, why.text)
    return why.code


def system_account(connection, argv, environ, name, secret):
    """The name of nobody here may be an account of the system."""
    from ..auth import accounts             # only where VPOPHOME/options asks for it
    user, _ = names.parse(name)
    if accounts.lookup(user)[0] is None:    # what that costs has been spent on the search here
        return refuse(connection, Failure(login.NO_SYSTEM_USER, b"system user not found %b:%b" % (user, connection.ip)))
    account = accounts.authenticate(user, secret)
    if account is None:
        return refuse(connection, Failure(login.WRONG, b"password fail %b:%b" % (user, connection.ip)))
    if connection.service == SMTP:
        environ |= {b"USER": account.name, b"HOME": account.home, b"SHELL": account.shell}
    else:
        if home.enabled(b"roaming-users"):
            roaming.try_open(connection.ip)
        environ |= checkpassword.become(account)
    return execute(argv, environ)
