"""VPOPHOME, the home of virtual domains: the user vpopmail, directories, first settings, programs.

An existing home is taken over as it is: what is missing is made, domains and settings are not touched. The
programs in VPOPHOME/bin become links to QMAILHOME/bin, where scripts and .qmail files look for them; what stood
there before is kept as NAME.before.

The listeners of this installation get to know of virtual users: POP3 checks passwords by vchkpw, which without
VPOPHOME/options asks the system's accounts, too, and SMTP reads the rules that logins add to.
"""
import os
import sys

from ..auth import failures
from ..base import accounts, home, prot
from ..base.errors import Temporary
from ..vpopmail import database_url, files, home as vpop, roaming
from . import commands, dependencies, hier, settings, setup, users

GROUP = "vchkpw"
NUMBER = "89"                       # the uid and gid that vpopmail has everywhere, if they are free
HOME = "/home/vpopmail"
BESIDE = ("clearopensmtp", "dotqmail2valias")       # programs for virtual domains not named v...
DIRECTORIES = ((b"bin", 0o755), (b"etc", 0o755), (b"domains", 0o700))
LIMITS = b"# What domains without limits of their own allow: no limits. See vmoddomlimits(8).\nmaxpopaccounts: -1\n"
RULES = b'127.0.0.1:allow,RELAYCLIENT=""\n:allow\n'
FIXED = setup.RULES.encode()        # control/tcp.smtp that nobody has changed
FILES = ((b"etc/vlimits.default", LIMITS), (b"etc/tcp.smtp", RULES))
OPTIONS = b"# A name and a value in each line: see vpopmail(7).\npasswd yes\n"
CHECKER = "vchkpw qmail-pop3d Maildir\n"


def programs():
    """The names of the programs for virtual domains."""
    return sorted(name for names in hier.PROGRAMS.values() for name in names if name.startswith("v") or name in BESIDE)


def make(tell):
    """Make what is missing. tell(line) hears what was made. Raises Temporary, OSError."""
    if not accounts.private():
        make_user(tell)
    place = vpop.vpophome()
    uid, gid = vpop.ids()
    if not os.path.isdir(place):
        os.mkdir(place, 0o755)
        os.chown(place, uid, gid)
        tell(f"made {os.fsdecode(place)}")
    if os.stat(place).st_uid != uid:
        raise Temporary(f"{os.fsdecode(place)} does not belong to {vpop.USER}")
    fixed = not os.path.lexists(place + b"/etc/tcp.smtp")
    with prot.Acting(uid, gid):
        fill(place, tell)
    os.close(failures.make())
    if settings.write_missing(home.path("control"), {"pop3checker": CHECKER}):
        tell("made control/pop3checker: POP3 serves virtual users after qmailctl restart")
    share_rules(fixed, tell)


def connect(url, tell):
    """Accounts can be in the database of that URL (str; empty: of the one there is already): the libraries for it, its
    tables. Raises Temporary, OSError."""
    if url:
        database_url.write(url)
        tell(f"wrote {os.fsdecode(database_url.path())}")
    dependencies.install(home.HOME, sys.executable, tell)
    try:
        from ..vpopmail import database     # its library may have come just now
    except ImportError as why:
        raise Temporary(f"{why}; {home.path('venv')} is not ours to install into") from why
    database.prepare()
    tell("the tables are there; vconvert(8) moves a domain")


def make_user(tell):
    """The user vpopmail and the group vchkpw."""
    if not users.group_exists(GROUP):
        make_numbered(("groupadd", "--system", "--gid", NUMBER, GROUP), ("groupadd", "--system", GROUP))
        tell(f"made group {GROUP}")
    if not users.user_exists(vpop.USER):
        rest = ("--gid", GROUP, "--home-dir", HOME, "--no-create-home", "--shell", users.shell(), vpop.USER)
        make_numbered(("useradd", "--system", "--uid", NUMBER, *rest), ("useradd", "--system", *rest))
        tell(f"made user {vpop.USER}")


def make_numbered(wanted, otherwise):
    """Run the first command, or the second if its number is taken."""
    if commands.attempt(*wanted)[0] != 0:
        commands.run(*otherwise)


def share_rules(ours_hold, tell):
    """Let control/tcp.smtp.cdb, which qmail-smtpd --listen reads, be the table that logins are added to. The fixed
    rules in it are those of control/tcp.smtp if ours_hold, else those that were in VPOPHOME before us, unless somebody
    has changed both."""
    ours, theirs = os.fsencode(home.path("control", "tcp.smtp")), roaming.rules()
    if theirs == ours or os.path.islink(ours + b".cdb") and os.readlink(ours + b".cdb") == theirs + b".cdb":
        return
    if os.path.islink(ours) and os.path.realpath(ours) == theirs:
        pass
    elif ours_hold and os.path.exists(ours):
        with prot.Acting(*vpop.ids()):
            exchange(ours, theirs)
    elif not os.path.exists(ours) or files.read(ours) in (FIXED, files.read(theirs)):
        exchange(theirs, ours)
    else:
        tell(f"control/tcp.smtp and {os.fsdecode(theirs)} have different rules: SMTP reads the first, logins are added to "
             "the second. Make one a link to the other, then run qmailctl vpopmail again.")
        return
    roaming.expire()
    exchange(theirs + b".cdb", ours + b".cdb")
    tell(f"linked control/tcp.smtp.cdb to {os.fsdecode(theirs)}.cdb")


def exchange(target, path):
    """Let a link to `target` take the place of the file at `path`."""
    temporary = path + b".link"
    files.remove(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, path)


def fill(place, tell):
    """Directories, files and links below VPOPHOME, with the rights of its owner."""
    for name, mode in DIRECTORIES:
        path = place + b"/" + name
        if not os.path.isdir(path):
            os.mkdir(path, mode)
            os.chmod(path, mode)
            tell(f"made {os.fsdecode(path)}")
    os.chmod(place, os.stat(place).st_mode & 0o7777 | 0o111)    # every owner of a domain goes through it
    for name, text in (*FILES, (b"options", OPTIONS)):
        path = place + b"/" + name
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            continue
        with open(fd, "wb") as f:
            f.write(text)
        tell(f"made {os.fsdecode(path)}")
    for name in programs():
        link(os.fsencode(home.program(name)), place + b"/bin/" + os.fsencode(name), tell)


def link(program, path, tell):
    """Let `path` lead to a program of ours."""
    if os.path.islink(path) and os.readlink(path) == program:
        return
    if os.path.lexists(path):
        os.rename(path, path + b".before")
    os.symlink(program, path)
    tell(f"linked {os.fsdecode(path)}")
