"""qmail-pw2u: make a users/assign from a password file.

    qmail-pw2u [-/ohHuUC] [-c char] < /etc/passwd > users/assign

-o  leave out users whose home is missing or not theirs (this is what happens without options)
-h  a missing home is an error          -H  do not look at homes
-u  allow capitals in user names        -U  leave such users out (default)
-c  char separates user and extension   -C  no extensions
-/  extensions are looked up as .qmail/EXT

Reads users/include, exclude, mailnames, subusers and append. Exit codes: 0 done; 100 usage; 111
trouble, one line on descriptor 2 (what was printed until then stands).

**Security**: run by anybody; reads passwd lines that it was given, and stats homes.
Source: qmail-pw2u(8).
"""
import os

from ..base import control, errors, home, netio, number
from ..base.errors import Temporary
from ..base.options import BadOption, Options

ALIAS = b"alias"
BUFFER = 8192                       # bytes read or written at a time
LINE_MAX = 1 << 20                  # bytes; no line of a password file is longer


class WriteError(Exception):
    """Descriptor 1 does not take what we print."""


def main(argv):
    settings = parse(argv)
    if settings is None:
        return errors.PERMANENT
    output = Output()
    try:
        try:
            os.chdir(home.HOME)
        except OSError:
            raise Temporary("unable to chdir") from None
        maker = Maker(settings, output, *(control_file(name) for name in ("include", "exclude", "mailnames")))
        for line in lines(0, before_read=output.flush):
            maker.account(line)
        if not maker.alias:
            raise Temporary("unable to find alias user")
        for line in optional_lines("subusers"):
            maker.subuser(line)
        for line in optional_lines("append"):
            output.put(line)
        output.put(b".\n")
        output.flush()
    except MemoryError:
        raise Temporary("out of memory") from None
    except WriteError:
        raise Temporary("unable to write output") from None
    return 0


def parse(argv):
    """The settings that the options make; None after a complaint. Words after the options are ignored."""
    settings = Settings()
    try:
        for letter, value in Options(argv, b"/ohHuUCc:"):
            for name, setting in MEANING.get(letter, {"separator": (value or b"")[:1]}).items():
                setattr(settings, name, setting)
    except BadOption as why:
        errors.say(b"qmail-pw2u: ", why.line)
        return None
    return settings


class Settings:
    check_homes, missing_is_fatal, capitals, separator, dash = True, False, False, b"-", b"-"


MEANING = {                             # all but c
    b"/": {"dash": b"-/"},
    b"o": {"check_homes": True, "missing_is_fatal": False},
    b"h": {"check_homes": True, "missing_is_fatal": True},
    b"H": {"check_homes": False},
    b"u": {"capitals": True},
    b"U": {"capitals": False},
    b"C": {"separator": b""},
}


class Maker:
    """Turns accounts and subusers into lines of users/assign."""

    def __init__(self, settings, output, include, exclude, mailnames):
        self.settings, self.output = settings, output
        self.include = None if include is None else control.fold(include)
        self.exclude = control.fold(exclude or ())
        self.mailnames = control.mapping(mailnames or ())
        self.alias = False          # True once the account alias was taken
        self.accounts = {}          # user in lower case -> b":user:uid:gid:home:" of all that were taken

    def account(self, line):
        """One line of a password file; lines that are none, and users left out, add nothing."""
        parts = line.removesuffix(b"\n").split(b":")
        if b"\0" in line or len(parts) < 7:
            return
        user, _, uid, gid, _, directory = parts[:6]
        if not self.wanted(user, uid, directory):
            return
        about = b":%b:%b:%b:%b:" % (user, uid, gid, directory)
        self.accounts[user.lower()] = about
        if user == ALIAS:
            self.alias = True
            self.output.put(b"+%b%b::\n" % (about, self.settings.dash))
        for name in filter(None, self.mailnames.get(user.lower(), user).split(b":")):
            self.lines_for(name, about, b"", b"", b"")

    def wanted(self, user, uid, directory):
        """True if a user gets mail. Raises Temporary for a home that should be there."""
        uid = number.leading(uid)[0]
        if not uid:
            return False
        if not self.settings.capitals and user != user.lower():
            return False
        if self.include is not None and user.lower() not in self.include:
            return False
        if user.lower() in self.exclude:
            return False
        return not self.settings.check_homes or self.owns(directory, uid)

    def owns(self, directory, uid):
        try:
            return os.stat(directory).st_uid == uid
        except FileNotFoundError as why:
            if not self.settings.missing_is_fatal:
                return False
            raise Temporary("unable to stat " + os.fsdecode(directory)) from why
        except OSError as why:
            raise Temporary("unable to stat " + os.fsdecode(directory)) from why

    def subuser(self, line):
        """One line sub:user:prefix: of users/subusers; shorter lines are passed over. Raises Temporary."""
        parts = line.removesuffix(b"\n").split(b":")
        if len(parts) < 3:
            return
        sub, user = parts[:2]
        about = self.accounts.get(user.lower())
        if about is None:
            raise Temporary("unable to find " + os.fsdecode(user) + " user for subuser")
        if len(parts) > 3:
            self.lines_for(sub, about, self.settings.dash, parts[2], parts[2] + b"-")

    def lines_for(self, name, about, dash, ext, extended):
        """The assignment of an address, and that of the address with extensions, which has `extended` before them."""
        self.output.put(b"=%b%b%b:%b:\n" % (name, about, dash, ext))
        if self.settings.separator:
            self.output.put(b"+%b%b%b%b:%b:\n" % (name, self.settings.separator, about, self.settings.dash, extended))


class Output:
    """Descriptor 1. What is put shows when the buffer is full or flush() is called; what is put before a fatal
    error, and was not flushed, never shows. Raises WriteError."""

    def __init__(self):
        self._kept = bytearray()

    def put(self, data):
        if len(self._kept) + len(data) > BUFFER:
            self.flush()
        self._kept += data

    def flush(self):
        try:
            netio.write_all(1, self._kept)
        except OSError as why:
            raise WriteError from why
        self._kept = bytearray()


def lines(fd, before_read=lambda: None):
    """The lines of a descriptor, each with its newline if it has one. before_read() is called before each
    read; if that cannot write, it counts as an error of the input. Raises Temporary."""
    kept = bytearray()
    while True:
        try:
            before_read()
            data = os.read(fd, BUFFER)
        except (OSError, WriteError) as why:
            raise Temporary("unable to read input") from why
        kept += data
        *whole, rest = kept.split(b"\n")
        yield from (bytes(line) + b"\n" for line in whole)
        kept = rest
        if not data:
            break
        if len(kept) > LINE_MAX:
            raise Temporary("unable to read input")
    if kept:
        yield bytes(kept)


def optional_lines(name):
    """The lines of users/NAME; none if there is no such file. Raises Temporary."""
    try:
        fd = os.open(f"users/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    except OSError as why:
        raise Temporary("unable to read controls") from why
    yield from lines(fd)
    os.close(fd)


def control_file(name):
    """The entries of users/NAME, written like a control file; None if there is no such file. Raises Temporary."""
    try:
        return control.entries(netio.read_file(f"users/{name}"))
    except FileNotFoundError:
        return None
    except OSError as why:
        raise Temporary("unable to read controls") from why
