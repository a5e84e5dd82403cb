"""Making and removing virtual domains.

Steps are in such an order that mail is taken for a domain when all else is ready for it, and that no mail comes any
more when it goes; users/assign, by which a domain is known to exist, comes before the steps that a crash may leave
undone, and goes after them, so the same command again does the rest.
"""
import os
import shutil
import stat
import time

from ..base import pidfile, sig
from ..base.errors import Temporary
from . import accounts, assign, files, hashdirs, home, lists, names, onchange
from .errors import Refused
from .place import Inside

BOUNCE = b"bounce-no-mailbox"
PRIVATE = 0o600
SHORTEST = 3
STARTING, PAUSE = 250, 0.02         # looks at a starting qmail-send, s between two


def check_name(name):
    """Raises Refused for what is no domain's name."""
    if len(name) > names.DOMAIN:
        raise Refused("DOMAIN_NAME_TOO_LONG")
    if len(name) < SHORTEST or name.strip(names.DOMAIN_CHARACTERS) or name[:1] == b"-" or name[-1:] == b"-":
        raise Refused("INVALID_DOMAIN_NAME")
    if name.startswith(b".") or b".." in name:      # would be a path, or no name at all
        raise Refused("INVALID_DOMAIN_NAME")


def check_new(name):
    """Raises Refused for a name that no new domain can have. One that a crash left half made can be made again."""
    check_name(name)
    known = assign.find(name)
    if known is not None and not half_made(known):
        raise Refused("DOMAIN_ALREADY_EXISTS")


def half_made(domain):
    """True for a real domain whose mail nobody takes, or that never got its first user."""
    return not domain.alias and os.path.isdir(domain.directory) and (
        not lists.takes_mail(domain.name) or not accounts.store(domain).count())


def add(name, base, uid, gid, unknown=BOUNCE, tell=True):
    """Make the domain below BASE/domains for uid:gid; returns the Domain. unknown: what vdelivermail does with
    mail for users that do not exist; a name without @ is a mailbox of the domain. tell: let qmail-send know.
    Raises Refused."""
    check_new(name)
    domain = assign.find(name)
    if domain is None:
        domain = assign.Domain(name, name, uid, gid, make_directory(name, base, uid, gid))
        accounts.begin(domain)
    if unknown != BOUNCE and b"@" not in unknown:
        unknown = b"%b/%b" % (domain.directory, unknown)
    with Inside(domain):
        files.replace(b".qmail-default", b"| %b '' %b\n" % (home.path(b"bin", b"vdelivermail"), unknown), PRIVATE)
    register(name, domain, tell)
    onchange.tell(b"add_domain", name)
    return domain


def make_directory(name, base, uid, gid):
    """BASE/domains/[HASH/]NAME, owned by uid:gid. Raises Refused."""
    if not os.path.isdir(base):
        raise Refused("BAD_V_DIR")
    parent = base + b"/domains"
    try:
        if not os.path.isdir(parent):
            make_owned(parent, uid, gid)
    except OSError:
        raise Refused("CAN_NOT_MAKE_DOMAINS_DIR") from None
    place = count_domain(uid, gid, hashdirs.add)
    try:
        for name_here in place.split(b"/") if place else ():
            parent += b"/" + name_here
            make_owned(parent, uid, gid)
        directory = b"%b/%b" % (parent, name)
        make_owned(directory, uid, gid)
    except OSError:
        raise Refused("COULD_NOT_MAKE_DOMAIN_DIR") from None
    return directory


def make_owned(path, uid, gid):
    """A directory of uid:gid. One that is there already stays as it is, but root's is given away."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        if found.st_uid != 0 or not stat.S_ISDIR(found.st_mode):
            return
    if os.geteuid() == 0:
        os.chown(path, uid, gid, follow_symlinks=False)


def count_domain(uid, gid, count):
    """Let count() work on the .dir-control that counts the domains of uid: in VPOPHOME/domains, or in `domains` of
    another user's home. What it returns; b"" if that user has no such directory."""
    parent = home.path(b"domains") if uid == home.ids()[0] else domains_of(uid)
    if parent is None:
        return b""
    try:
        with Inside(assign.Domain(b"", b"", uid, gid, parent)):
            return count() or b""
    except Temporary:
        if uid == home.ids()[0]:
            raise
        return b""


def domains_of(uid):
    import pwd                          # only for domains that are not vpopmail's
    try:
        directory = os.fsencode(pwd.getpwuid(uid).pw_dir) + b"/domains"
    except KeyError:
        return None
    return directory if os.path.isdir(directory) else None


def add_alias(alias, real):
    """Let `alias` be another name of the Domain `real`. Raises Refused."""
    check_name(alias)
    register(alias, real)
    onchange.tell(b"add_alias_domain", b"%b %b" % (alias, real.real))


def unfinished_alias(one, other):
    """True if one of the Domains is an alias of the other that a crash left half made."""
    alias, real = (one, other) if one.alias else (other, one)
    return alias.alias and not real.alias and alias.real == real.real and not lists.takes_mail(alias.name)


def register(name, domain, tell=True):
    """Tell qmail that mail for `name` belongs to a domain: qmail-send before qmail-smtpd, else a message that comes
    in between would be sent to the MX of the domain, which is this host."""
    with lists.Assign() as table:
        table.insert(assign_line(name, domain))
    lists.take_mail(name, tell_qmail_send if tell else lambda: None)


def assign_line(name, domain):
    return b"+%b-:%b:%d:%d:%b:-::" % (name, domain.real, domain.uid, domain.gid, domain.directory)


def forget(name):
    """Take a name out of users/assign."""
    with lists.Assign() as table:
        prefix = b"+%b-:" % name
        table.found = [line for line in table.found if not line.startswith(prefix)]


def delete(domain, warn):
    """Remove a domain with everything in it, or just the name if it is an alias. warn(text): what was not as it
    should be."""
    onchange.tell(b"del_domain", b"%b alias of %b" % (domain.name, domain.real) if domain.alias else domain.name)
    for name in [] if domain.alias else assign.aliases(domain.real):
        lists.refuse_mail(name)
        forget(name)
    lists.refuse_mail(domain.name)
    tell_qmail_send()
    if not domain.alias:
        accounts.end(domain)
    gone = domain.alias or remove_tree(domain, warn)
    forget(domain.name)
    if not domain.alias:
        if not gone:
            warn(b"Failed to delete directory tree: " + domain.real)
        count_domain(domain.uid, domain.gid, lambda: hashdirs.remove(mode=lists.MODE))


def remove_tree(domain, warn):
    """Remove the domain's directory; False if it is still there, or was not there."""
    if not os.path.isdir(domain.directory):
        warn(b"Could not access (%b)" % domain.directory)
        warn(b"Failed to delete dir_control for " + domain.real)
        return False
    try:
        if os.path.islink(domain.directory):
            os.unlink(domain.directory)
        else:
            shutil.rmtree(domain.directory)
        files.sync_directory(os.path.dirname(domain.directory))     # nobody's old mail comes back
    except OSError:
        return False
    return True


def user_count(domain):
    """How many users the domain counts."""
    store = accounts.store(domain)
    with Inside(domain):
        return hashdirs.count(store.directories)


def tell_qmail_send():
    """Let this installation's qmail-send, if it runs, read control/locals and control/virtualdomains again. One that
    is just starting would be ended by the signal: it is waited for."""
    for _ in range(STARTING):
        process = pidfile.running("send")
        if process is None:
            return                      # it reads them at its next start
        if pidfile.catches(process, sig.HUP):
            break
        time.sleep(PAUSE)
    else:
        return
    try:
        os.kill(process.pid, sig.HUP)
    except ProcessLookupError:
        pass                            # it ended meanwhile
