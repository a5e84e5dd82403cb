"""vpopbull: put a message into the mailbox of every user.

    vpopbull [-v] [-V] -f file [-e exclude_file] [-n] [-c | -h | -s] [domain ...]

Of all domains if none is named; alias domains are left out. A copy has a To line in front, and a Date line unless
the message has one; a hard (-h) or symbolic (-s) link is the file as it is, which then belongs to the owner of the
domain. -n only names the users, -V names them too. The file of -e holds addresses to leave out, one a line.
Exit codes: 0 done, also for an unknown domain (told on standard error); 255 usage, a file that cannot be read;
111 a temporary trouble.

**Security**: run by root; works as the domain's owner inside each domain. Source: vpopmail.
"""
import os
import time

from ..base import date, errors, maildir, maildirsize, netio
from ..base.errors import Temporary
from ..vpopmail import accounts, assign, command, names, quotas
from ..vpopmail.place import Inside, within

USAGE = """\
usage: vpopbull [options] -f [email_file] [virtual_domain] [...]
       -v (print version number)
       -V (verbose)
       -f email_file (file with message contents)
       -e exclude_email_addr_file (list of addresses to exclude)
       -n (don't mail. Use with -V to list accounts)
       -c (default, copy file)
       -h (use hard links)
       -s (use symbolic links)
"""
LARGEST = 1 << 28                       # bytes of a bulletin


def main(argv):
    options = command.Options(argv, b"vVf:e:nchs")
    given = dict(options.found)
    if options.bad or not argv:
        return command.usage(USAGE)
    if b"f" not in given and b"n" not in given:
        command.complain(b"Error: email_file not specified")
        return command.usage(USAGE)
    text = b""
    if b"f" in given:
        text = read(given[b"f"])
        if text is not None and not text:
            command.complain(b"Error: %b is empty" % given[b"f"])
            return command.FAILED
    excluded = read(given[b"e"]) if b"e" in given else b""
    if text is None or excluded is None:
        return command.FAILED
    bulletin = Bulletin(text, given, set(excluded.split(b"\n")))
    status = 0
    for domain in chosen(options.rest, b"V" in given):
        try:
            bulletin.deliver(domain)
        except (Temporary, OSError) as why:     # one domain's trouble is not the others'
            command.complain(b"Error: ", domain.real, b": ", str(why).encode())
            status = errors.TEMPORARY
    return status


def read(path):
    """The contents of a file; None, after a complaint, if it cannot be read."""
    try:
        return netio.read_file(path, LARGEST)
    except OSError:
        command.complain(b"Could not open file ", path)
        return None


def chosen(given, verbose):
    """The real domains that are meant; what is none is told of."""
    named = [assign.find(names.lower(name)) or names.lower(name) for name in given]
    for domain in named or assign.everyone():
        if isinstance(domain, bytes):
            command.complain(b"Error: domain %b does not exist" % domain)
        elif not domain.alias:
            yield domain
        elif verbose:
            command.complain(b"skipping %b (alias of %b)" % (domain.name, domain.real))


class Bulletin:
    """What is to be delivered, and how."""

    def __init__(self, text, given, excluded):
        self._text, self._excluded = text, excluded
        self._silent = b"n" in given
        self._verbose = self._silent or b"V" in given
        self._link = next((letter for letter in (b"h", b"s") if letter in given), None)
        self._path = os.path.realpath(given[b"f"]) if b"f" in given else b""
        self._dated = has_date(text)

    def deliver(self, domain):
        if self._link and not self._silent:
            if os.geteuid() == 0:               # a user can link only his own file, and read it through the link
                os.chown(self._path, domain.uid, domain.gid)
            os.chmod(self._path, 0o600)
        for account in accounts.store(domain).all():
            address = b"%b@%b" % (account.name, domain.real)
            if address in self._excluded:
                continue
            if self._verbose:
                command.say(address)
            if not self._silent:
                self._put(domain, account, address)

    def _put(self, domain, account, address):
        with Inside(domain):
            directory = within(domain, account.directory) + b"/Maildir"
            try:
                self._into(directory, address)
                if quotas.limits(account.quota):
                    maildirsize.add(directory, account.quota, len(self._text))
            except FileNotFoundError:
                command.complain(b"Error: %b has no Maildir" % address)

    def _into(self, directory, address):
        if self._link == b"h":
            os.link(self._path, b"%b/new/%b" % (directory, maildir.name()))
        elif self._link == b"s":
            os.symlink(self._path, b"%b/new/%b" % (directory, maildir.name()))
        else:
            lines = b"To: %b\n" % address
            if not self._dated:
                lines += b"Date: %b\n" % now()
            root = maildir.enter(directory)
            try:
                maildir.deliver(root, (lines, self._text))
            finally:
                os.close(root)


def has_date(text):
    """True if the message's header has a Date field."""
    header = text.partition(b"\n\n")[0].lower()
    return header.startswith(b"date:") or b"\ndate:" in header


def now():
    """The time as RFC 5322 has it, in UTC: b"Sun, 22 Nov 2026 09:05:07 +0000"."""
    day = b"Mon Tue Wed Thu Fri Sat Sun".split()[time.gmtime().tm_wday]
    text = date.rfc822(int(time.time())).removesuffix(b"-0000")
    return b"%b, %b+0000" % (day, text.zfill(21))
