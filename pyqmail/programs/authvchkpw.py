"""authvchkpw: an authentication module of Courier-IMAP 1.x for the users of virtual domains.

    authvchkpw [MODULE …] IMAPD MAILDIR        login on descriptor 3

imaplogin runs the modules one after the other. Descriptor 3 has the service, the kind (login, cram-md5 …), and the
data, a line each, 512 bytes at most. With the right password authvchkpw opens the relay for the client (TCPREMOTEIP),
becomes the owner of the domain, goes to the user's directory and executes IMAPD, with AUTHENTICATED, AUTHADDR,
AUTHFULLNAME, MAILDIR and MAILDIRQUOTA set. Otherwise the next MODULE gets the same data. When there is none, or the
account is there and closed, it says AUTHFAILURE on descriptor 2 and runs imaplogin again, which it finds in
AUTHUSER, AUTHARGC, AUTHARGV0 and so on.

Exit codes: 1 when there is nobody to run; 2 for too much or too little data; 111 temporary trouble.

**Security**: started by root; the password is compared as the owner of the domain, see authdaemond.
Source: vpopmail's module of this name, as recorded; Courier-IMAP's module interface.
"""
import os

from ..auth import checkpassword
from ..base import child, errors, netio, prot
from ..base.errors import Temporary
from ..imap import asking, wire
from ..vpopmail import flags, home, loginlog, roaming
from ..vpopmail.login import Failure

NOBODY, BAD_DATA = 1, 2
LAST = 2                            # words after the last module: the server and its argument
LINES = 4                           # of data at least; the last one may have no end
HIGHEST = 100                       # AUTHARGC


def main(argv):
    if len(argv) < LAST:
        return say("no more modules will be tried", NOBODY)
    data = netio.read_all(3, checkpassword.LIMIT + 1)
    os.close(3)
    if len(data) > checkpassword.LIMIT:
        return say("auth data too long", BAD_DATA)
    if data.count(b"\n") < LINES - 1:
        return say("auth data too short", BAD_DATA)
    environ = child.environment()
    ip = environ.get(b"TCPREMOTEIP", b"").removeprefix(b"::ffff:")
    service, kind, _ = data.split(b"\n", 2)
    closing = {b"imap": flags.NO_IMAP, b"pop3": flags.NO_POP}.get(service, 0)
    if kind == b"pass":
        return next_module(argv, data, environ, "Password Change not supported")
    try:
        name, found = identify(data, ip, closing)
    except wire.Malformed:
        return next_module(argv, data, environ)
    except Failure as why:
        loginlog.refused("authvchkpw", why.text)
        return next_module(argv, data, environ, b"inquery: " + why.text if why.unknown else None)
    loginlog.accepted("authvchkpw", found.means, found.address, ip)
    if found.flags & closing:
        return give_up(environ, service + b" disabled for this account")
    if not found.flags & flags.NO_RELAY and home.enabled(b"roaming-users"):
        roaming.try_open(ip)
    return log_in(argv[-LAST:], environ | {b"AUTHENTICATED": name}, found)


def identify(data, ip, closing):
    """(name, Found) of the login in the data. Raises Malformed, Failure, Temporary, OSError."""
    request = wire.authentication(data, ip)
    request.packed()                # no NUL in it
    name, *secrets = request.words
    if request.kind == wire.LOGIN:
        return name, asking.check(name, secrets[0], ip, closing)
    return name, asking.check(name, secrets[1], ip, closing, secrets[0], request.kind)


def log_in(server, environ, found):
    environ |= {b"AUTHADDR": found.address, b"AUTHFULLNAME": found.comment,
                b"MAILDIR": found.home + b"/Maildir", b"HOME": found.home}
    if found.quota:
        environ[b"MAILDIRQUOTA"] = found.quota if found.quota[-1:] in b"SC" else found.quota + b"S"
    prot.become(found.uid, found.gid)
    os.chdir(found.home)
    return run(server, environ)


def next_module(argv, data, environ, why=None):
    """The next module gets the same data; if there is none, the login has failed."""
    if why:
        say(why)
    if len(argv) == LAST:
        return give_up(environ, "no more modules will be tried")
    reader, writer = os.pipe()
    os.write(writer, data)          # less than a pipe holds
    os.close(writer)
    if reader != 3:
        os.dup2(reader, 3)
        os.close(reader)
    os.set_inheritable(3, True)
    return run(argv, environ)


def give_up(environ, why):
    say(why)
    os.write(2, b"AUTHFAILURE\n")
    count, program = environ.get(b"AUTHARGC", b""), environ.get(b"AUTHUSER", b"")
    words = [environ.get(b"AUTHARGV%d" % n) for n in range(min(int(count), HIGHEST) if count.isdigit() else 0)]
    if not program or not words or None in words:
        return NOBODY
    return run(words, environ, program)


def run(words, environ, program=None):
    try:
        child.execute(words, environ, program)
    except OSError as why:
        raise Temporary(f"unable to run {os.fsdecode(program or words[0])}: {errors.text(why)}") from why


def say(text, status=None):
    errors.say("authvchkpw: ", text)
    return status
