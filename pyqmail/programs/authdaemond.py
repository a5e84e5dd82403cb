"""authdaemond: tell Courier's programs who a mail user is, whether a password is his, and change it.

    authdaemond [FILE]
    authdaemond -t [FILE]        exit code 0 if one serves where FILE says, 1 if not

Answers on the socket /run/courier/authdaemon/socket, where the programs of Courier IMAP ask, about the users of
virtual domains, and about accounts of the system where VPOPHOME/options has `passwd yes`. LOGIN, CRAM-MD5, CRAM-SHA1
and CRAM-SHA256 (these need clear passwords), password changes, look-ups and the list of all users. A login opens the
relay for the client's address, and is noted in lastauth.

FILE: an authdaemonrc with authmodulelist (must have authvchkpw), daemons (passwords compared at once), authdaemonvar
(another directory for the socket), DEBUG_LOGIN and DEFAULTOPTIONS. SIGHUP: it is read again. SIGTERM: ends; exit code
0. 100 usage, 111 trouble, also when another authdaemond serves there.

**Security**: started by root. Three kinds of process: the front, with the uid authdaemon, which owns nothing and can do
nothing but talk, takes apart what clients send; the keeper, root, gets fields of bounded number and length and forks; a
request's process, root, finds the domain, and has its files read, and the password compared, by a process that is the
domain's owner. Only the password of a system account is compared as root. Hashes are never told. Who may ask is decided
by the mode of the socket's directory: root and the group courier.
Source: courier-authlib's authdaemond, as observed.
"""
import os

from ..base import accounts, child, errors, limits, passing, prot, sandbox, sig
from ..base.errors import Temporary
from ..base.options import BadOption, Options
from ..imap import front, keeper, place, settings
from ..vpopmail import database_url

ROLE, COURIER = "authdaemon", "courier"


def main(argv):
    options = Options(argv, b"t")
    try:
        asking = any([letter == b"t" for letter, _ in options])
    except BadOption:
        return usage()
    if len(options.rest) > 1:
        return usage()
    path = os.path.abspath(os.fsdecode(options.rest[0])) if options.rest else None
    current = settings.read(path)
    if asking:
        return 0 if place.answers(current.directory) else 1
    for module in current.foreign:
        errors.say("authdaemond: warning: no module ", module, " here")
    role = ids(ROLE)
    listener = place.bind(current.directory, ids(COURIER))
    os.chdir("/")
    os.umask(0o077)
    for name in [name for name in os.environb if name not in (b"PATH", b"LANG")]:
        del os.environb[name]       # what is said about connections of ours comes with the requests
    limits.enter("authdaemond")
    sandbox.check("authdaemond")
    sending, receiving = passing.pair()
    load_store()
    pid = start_front(listener, sending, receiving, role)
    listener.close()
    sending.close()
    return keeper.Keeper(receiving, current, lambda: settings.read(path)).run(pid)


def usage():
    errors.say("authdaemond: usage: authdaemond [ -t ] [ file ]")
    return errors.PERMANENT


def ids(name):
    """(uid, gid) of an account; whoever owns a private home plays it. Raises Temporary."""
    alone = accounts.private()
    if alone:
        return alone
    import pwd                      # not needed in a private home
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise Temporary(f"unable to find user {name}: qmailctl imap courier makes what is missing") from None
    return found.pw_uid, found.pw_gid


def load_store():
    """Where accounts are in SQL, what it takes is loaded once and not for each request."""
    if database_url.find():
        try:
            from ..vpopmail import sql      # noqa: F401  its users only have the library
        except ImportError as why:
            errors.say("authdaemond: warning: accounts in SQL: ", str(why))


def start_front(listener, sending, receiving, role):
    """Fork the front; returns its pid."""
    parent = os.getpid()

    def live():
        receiving.close()
        prot.become(*role)
        prot.no_new_privileges()
        prot.die_with_parent(sig.TERM)
        return front.Front(listener, sending).run() if os.getppid() == parent else errors.TEMPORARY
    return child.fork(live)
