"""What authdaemond answers to a request.

**Security**: root, in a process of the one request, which the front (front.py) has taken apart. Passwords of virtual
users are compared as the owner of their domain (asking.py); those of system accounts, where VPOPHOME/options has them
log in here, by auth/accounts.py, in this process.
"""
from ..auth import accounts as system, failures
from ..base import child, prot
from ..base.errors import Temporary
from ..vpopmail import accounts, assign, flags, home, login, loginlog, roaming, userdir
from ..vpopmail.login import Failure
from . import asking, wire

CLOSING = {b"imap": flags.NO_IMAP, b"pop3": flags.NO_POP, b"webmail": flags.NO_WEBMAIL}
READING = (b"imap", b"pop3")        # services with which mail is read: they open the relay
CHUNK = 1000                        # users written at once


def answer(request, send, defaults=b""):
    """Answer a Request by send(bytes), maybe several times. defaults: of OPTIONS. Raises Temporary, OSError: then
    there is no answer, or not all of it."""
    home.option(b"logging")         # before anything is done that options might forbid
    if request.kind == wire.ENUMERATE:
        return enumerate_users(send, defaults)
    work = {wire.PRE: pre, wire.PASSWD: passwd}.get(request.kind, log_in)
    try:
        return send(work(request, defaults))
    except Failure as why:
        loginlog.refused("vchkpw-" + request.service.decode(errors="replace"), why.text)
        return send(wire.FAIL)


def log_in(request, defaults):
    name, *secrets = request.words
    if for_the_system(name):
        return log_in_system(request, name, defaults)
    closing = CLOSING.get(request.service, 0)
    if request.kind == wire.LOGIN:
        found = asking.check(name, secrets[0], request.ip, closing)
    else:
        found = asking.check(name, secrets[1], request.ip, closing, secrets[0], request.kind)
    loginlog.accepted("vchkpw-" + request.service.decode(errors="replace"), found.means, found.address, request.ip)
    if not found.flags & (closing | flags.NO_RELAY):
        open_relay(request)
    return attributes(found, defaults)


def open_relay(request):
    if request.service in READING and home.enabled(b"roaming-users"):
        roaming.try_open(request.ip)


def attributes(found, defaults):
    return wire.attributes((
        (b"UID", b"%d" % found.uid), (b"GID", b"%d" % found.gid), (b"HOME", found.home), (b"ADDRESS", found.address),
        (b"NAME", found.comment), (b"MAILDIR", found.home + b"/Maildir"), (b"QUOTA", found.quota),
        (b"OPTIONS", wire.options(found.flags, defaults))))


def pre(request, defaults):
    [name] = request.words
    if for_the_system(name):
        account = system.lookup(name)[0]
        return system_attributes(account, defaults) if account and account.uid else wire.FAIL
    found = asking.look_up(name)
    return attributes(found, defaults) if found else wire.FAIL


def passwd(request, _):
    name, old, new = request.words
    if for_the_system(name):
        raise Failure(login.WRONG, b"password change denied %b:%b" % (name, request.ip))
    asking.change(name, old, new, request.ip)
    return wire.OK


# ---------------------------------------------------------------- accounts of the system

def for_the_system(name):
    """True if only an account of the system can have this name: VPOPHOME/options wants them here, it has no domain, and
    no user of the default domain is called so. Whether there is such an account must not be seen by the time it takes."""
    return home.enabled(b"passwd") and b"@" not in name and not (asking.domain_of(name) and asking.look_up(name))


def log_in_system(request, name, defaults):
    who = b"%b:%b" % (name, request.ip)
    if request.kind != wire.LOGIN:
        raise Failure(login.WRONG, b"no clear password of " + who)
    try:
        found = system.login(name, request.words[1], request.ip)
    except failures.TooMany:
        raise Failure(login.WRONG, b"too many failed logins " + who) from None
    if found is None:
        raise Failure(login.WRONG, b"password fail " + who)
    open_relay(request)
    return system_attributes(found, defaults)


def system_attributes(account, defaults):
    return wire.attributes((
        (b"UID", b"%d" % account.uid), (b"GID", b"%d" % account.gid), (b"HOME", account.home),
        (b"ADDRESS", account.name), (b"MAILDIR", account.home + b"/Maildir"), (b"OPTIONS", wire.options(0, defaults))))


# ---------------------------------------------------------------- everybody

def enumerate_users(send, defaults):
    """A line for every user of every domain, each domain's written by its owner. Raises Temporary if one could not
    be read: then the end of the answer is missing."""
    send(wire.HEADING)
    for domain in assign.everyone():
        if domain.alias:
            continue
        status = child.wait(child.fork(lambda domain=domain: enumerate_domain(domain, send, defaults)))
        if status:
            raise Temporary(f"unable to list {domain.name.decode(errors='replace')}")
    send(wire.END)


def enumerate_domain(domain, send, defaults):
    prot.become(domain.uid, domain.gid)
    lines = []
    for account in accounts.store(domain).all():
        options = wire.options(login.flags_of(domain, account), defaults)
        lines.append(wire.listed(b"%b@%b" % (account.name, domain.name), domain.uid, domain.gid,
                                 userdir.directory_of(domain, account), options))
        if len(lines) == CHUNK:
            send(b"".join(lines))
            lines.clear()
    send(b"".join(lines))
