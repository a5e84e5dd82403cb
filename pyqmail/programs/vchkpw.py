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

from ..auth import checkpassword
from ..base import child, errors
from ..vpopmail import checker, login, loginlog
from ..vpopmail.login import SMTP, Failure

NO_DESCRIPTOR = 11
DOVECOT = b"checkpassword-reply"    # the program that Dovecot wants to have run
NOT_HERE = ("vchkpw is only for talking with qmail-popup and qmail-pop3d. It is not for runnning on the command line.")


def main(argv):
    environ = child.environment()
    connection = checker.Connection(environ, argv[0] if argv else b"")
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
    if argv[0].endswith(DOVECOT) and b"INSECURE_SETUID" not in environ:
        from ..imap import dovecot          # only where Dovecot asks
        return dovecot.answer(argv, environ, name, secret)
    try:
        found = checker.admit(connection, name, secret, challenge)
    except Failure as why:
        return refuse(connection, why)
    environ |= found.variables()
    if connection.service != SMTP:
        found.enter()
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
