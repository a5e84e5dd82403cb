"""vconvert: bring accounts into virtual domains, and from one store to the other.

    vconvert [-v] [-d] -c -m [domain ...]           from vpasswd and vpasswd.cdb to SQL
    vconvert [-v] [-d] -m -c [domain ...]           from SQL to vpasswd and vpasswd.cdb
    vconvert [-v] [-d] -e -c domain ...             from the system's accounts
    vconvert [-v] [-d] -p file -c domain ...        from lines "NAME HASH" (blank, tab or colon between)
    vconvert [-v] [-d] -S [domain ...]              writes Maildir/sqwebmail-pass for every user

Without a domain: of all of them. A move leaves mail and logins as they are and can be broken off at any point: until
every account was copied and compared the old store holds the truth, and the same command goes on where it was; then the
old one is emptied. A domain that is in the wanted store already stays as it is. Without etc/vpopmail.sql there is no
such conversion. On a terminal a bar shows how far it is.

-e and -p make users of the domain, in whatever store it has. Accounts that are there already stay as they are. Only
hashes are taken over, nobody gets a clear password. Exit codes: 0; 100 a move that cannot be done, or the stores differ
after it; 111 a temporary trouble; 255 usage.

**Security**: run by root (it reads /etc/shadow); works as the domain's owner inside each domain. Source: vpopmail.
"""
import os

from ..base import netio
from ..base.errors import PERMANENT, Permanent
from ..vpopmail import accounts, assign, backend, command, database_url, files, names, progress, users
from ..vpopmail.errors import Refused
from ..vpopmail.place import Inside, within

USAGE = """\
vconvert: usage
 The first option sets which format to convert FROM,
 the second option sets which format to convert TO.
 -e = etc format
 -c = cdb format
 -m = sql format
 -S = set sqwebmail passwords
 -v = version
 -d = debug info
"""
FORMATS = b"ecmp"
LARGEST = 1 << 28


def main(argv):
    return command.answer(run, command.Options(argv, b"vdecmSp:"))


def run(options):
    given = dict(options.found)
    formats = [letter for letter, _ in options.found if letter in FORMATS]
    if options.bad or b"S" not in given and len(formats) < 2:
        return command.usage(USAGE)
    convert, status = conversion(formats, given), 0
    for domain in chosen(options.rest):
        label = b"converting %b%b" % (domain.real, b" " if options.rest else b"...    ")
        say(label)
        if convert is None:
            say(b"unknown conversion\ndomain conversion failed\n")
        elif not done(convert, domain, label):
            status = PERMANENT
    return status


def done(convert, domain, label):
    """Convert a domain; False if that cannot be."""
    try:
        convert(domain, lambda total: progress.Bar(total, label))
    except Refused:
        raise
    except Permanent as why:
        say(b"domain conversion failed\n")
        command.complain(domain.real, b": ", os.fsencode(str(why)))
        return False
    say(b"done\n")
    return True


def conversion(formats, given):
    """What to do with each domain; None if there is no such conversion."""
    if b"S" in given:
        return lambda domain, bar_of: write_sqwebmail(domain, b"d" in given)
    if formats[:2] in ([b"c", b"m"], [b"m", b"c"]) and database_url.find():
        from ..vpopmail import move                 # only here
        target = backend.SQL if formats[1] == b"m" else backend.CDB
        return lambda domain, bar_of: move.move(domain, target, bar_of)
    if formats[:2] in ([b"p", b"c"], [b"p", b"m"]):
        listed = list(pairs(given[b"p"]))
        return lambda domain, bar_of: add_all(domain, listed, bar_of)
    if formats[:2] in ([b"e", b"c"], [b"e", b"m"]):
        listed = list(system_accounts())
        return lambda domain, bar_of: add_all(domain, listed, bar_of)
    return None


def chosen(given):
    """The domains named, or all real ones."""
    for name in given:
        yield users.find_domain(names.lower(name))
    for domain in () if given else assign.everyone():
        if domain.alias:
            say(b"%b is an alias of %b.\n" % (domain.name, domain.real))
        else:
            yield domain


def pairs(path):
    """(name, hash) of each line."""
    for line in netio.read_file(path, LARGEST).split(b"\n"):
        fields = line.replace(b":", b" ").split()
        if len(fields) >= 2:
            yield names.lower(fields[0]), fields[1]


def system_accounts():
    """(name, hash) of the system's accounts that have a password."""
    for line in netio.read_file("/etc/shadow", LARGEST).split(b"\n"):
        name, _, rest = line.partition(b":")
        hashed = rest.partition(b":")[0]
        if not name:
            continue
        if len(hashed) < 3 or hashed[:1] in (b"!", b"*"):
            say(b"skipping ", name, b"\n")
        else:
            yield names.lower(name), hashed


def add_all(domain, listed, bar_of):
    from ..vpopmail import bulk                     # only here
    os.umask(0o077)
    with bar_of(len(listed)) as bar:
        for name, why in bulk.add(domain, [bulk.Wanted(name, hash=hashed) for name, hashed in listed], bar):
            command.complain(name, b": ", str(why).encode())


def write_sqwebmail(domain, tell):
    if tell:
        command.say(b"Setting sqwebmail passwords for ", domain.real)
    for account in accounts.store(domain).all():
        if tell:
            command.say(account.name)
        with Inside(domain):
            try:
                files.replace(within(domain, account.directory) + b"/Maildir/sqwebmail-pass", b"\t%b\n" % account.hash,
                              0o600)
            except FileNotFoundError:
                command.complain(account.name, b" has no Maildir")


def say(*parts):
    netio.write_all(1, b"".join(parts))
