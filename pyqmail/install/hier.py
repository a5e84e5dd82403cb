"""The installed tree as one table: laid by `qmailctl install`, checked by `qmailctl doctor`.

Owners, groups and modes are qmail's. They differ where a script differs from a compiled
program: what anybody but root starts must be readable (0755 for qmail's 0711), and qmail-queue has
no set-uid bit (its service does the writing). run/ and log/ are ours.
In a private home everything belongs to its one user.
Source: qmail's hier and instcheck, as recorded.
"""
import collections
import errno
import os
import stat

from ..base import accounts, home
from ..base.errors import Temporary, text
from ..queue import names

DIR, FILE, PROGRAM, EMPTY, ZEROS, FIFO = "directory", "file", "program", "empty file", "table of zeros", "named pipe"
TYPES = {DIR: stat.S_IFDIR, FIFO: stat.S_IFIFO}

SECTIONS = (1, 5, 7, 8)             # of the manual

Entry = collections.namedtuple("Entry", "path owner group mode kind")

#   path                  owner     group     mode   kind        SPLIT: the directory itself and 0 … 22 in it
TREE = (
    (".",                 "root",   "qmail",  0o755,  DIR),
    ("alias",             "alias",  "qmail",  0o2755, DIR),
    ("bin",               "root",   "qmail",  0o755,  DIR),
    ("boot",              "root",   "qmail",  0o755,  DIR),
    ("control",           "root",   "qmail",  0o755,  DIR),
    ("doc",               "root",   "qmail",  0o755,  DIR),
    ("log",               "qmaill", "nofiles", 0o750, DIR),
    ("man",               "root",   "qmail",  0o755,  DIR),
    *((f"man/{form}{section}", "root", "qmail", 0o755, DIR) for form in ("cat", "man") for section in SECTIONS),
    ("run",               "root",   "qmail",  0o755,  DIR),
    ("run/qmail-queue",   "qmailq", "qmail",  0o755,  DIR),
    ("run/qmail-rcptcheck", "qmailp", "nofiles", 0o750, DIR),
    ("run/qmail-send",    "qmails", "qmail",  0o755,  DIR),
    ("users",             "root",   "qmail",  0o755,  DIR),
    ("queue",             "qmailq", "qmail",  0o750,  DIR),
    ("queue/pid",         "qmailq", "qmail",  0o700,  DIR),
    ("queue/intd",        "qmailq", "qmail",  0o700,  DIR),
    ("queue/todo",        "qmailq", "qmail",  0o750,  DIR),
    ("queue/bounce",      "qmails", "qmail",  0o700,  DIR),
    ("queue/mess/SPLIT",  "qmailq", "qmail",  0o750,  DIR),
    ("queue/info/SPLIT",  "qmails", "qmail",  0o700,  DIR),
    ("queue/local/SPLIT", "qmails", "qmail",  0o700,  DIR),
    ("queue/remote/SPLIT", "qmails", "qmail", 0o700,  DIR),
    ("queue/lock",        "qmailq", "qmail",  0o750,  DIR),
    ("queue/lock/tcpto",  "qmailr", "qmail",  0o644,  ZEROS),
    ("queue/lock/sendmutex", "qmails", "qmail", 0o600, EMPTY),
    ("queue/lock/trigger", "qmails", "qmail", 0o622,  FIFO),
)

PROGRAMS = {
    # only root has a use for these
    0o700: ("authdaemond", "authvchkpw", "qmail-config", "qmail-lspawn", "qmail-newmrh", "qmail-newu", "qmail-rcptcheck",
            "qmail-start", "qmail-upq"),
    0o755: ("bouncesaying", "checkpassword", "clearopensmtp", "condredirect", "datemail", "dnsfq", "dnsip", "dnsmxip",
            "dnsptr", "dotqmail2valias", "elq", "except", "forward", "hostname", "instcheck", "ipmeprint",
            "maildir2mbox", "maildirmake", "maildirwatch", "mailsubj", "pinq", "predate", "preline", "qail", "qbiff",
            "qmail-clean", "qmail-getpw", "qmail-inject", "qmail-local", "qmail-log", "qmail-pop3d", "qmail-popup",
            "qmail-pw2u", "qmail-qmqpc", "qmail-qmqpd", "qmail-qmtpd", "qmail-qread", "qmail-qstat", "qmail-queue",
            "qmail-remote", "qmail-rspawn", "qmail-send", "qmail-showctl", "qmail-smtpd", "qmail-tcpok",
            "qmail-tcpto", "qmailctl", "qreceipt", "qsmhook", "sendmail", "splogger", "tcp-env", "tcprules",
            "vaddaliasdomain", "vadddomain", "vadduser", "valias", "vchangepw", "vchkpw", "vconvert", "vdeldomain",
            "vdelivermail", "vdeloldusers", "vdeluser", "vdominfo", "vipmap", "vkill", "vmkpasswd", "vmoddomlimits",
            "vmoduser", "vpasswd", "vpopbull", "vpopmaild", "vrcptcheck", "vsetuserquota", "vuserinfo", "vverifypw"),
}
BOOT = ("binm1", "binm1+df", "binm2", "binm2+df", "binm3", "binm3+df", "home", "home+df", "maildir",
        "proc", "proc+df", "qmail.init")
COURIER = ("authdaemond.rc", "imapd.rc", "mkimapdcert")         # scripts of the tree that install/courier.py makes
UNITS = ("qmail-pop3d.service", "qmail-qmqpd.service", "qmail-qmtpd.service", "qmail-rcptcheck.service",
         "qmail-send.service", "qmail-smtpd.service")


def fixed():
    """The entries that hold no code, in the order in which they can be made."""
    for path, owner, group, mode, kind in TREE:
        base, star, _ = path.partition("/SPLIT")
        yield Entry(base, owner, group, mode, kind)
        if star:
            yield from (Entry(f"{base}/{number}", owner, group, mode, kind) for number in range(names.SPLIT))


def code(source):
    """The entries that are copied from `source`, the checkout or installation that installs: programs, the
    package, start scripts and pages."""
    for mode, programs in PROGRAMS.items():
        yield from (Entry(f"bin/{name}", "root", "qmail", mode, PROGRAM) for name in programs)
    yield from (Entry(f"boot/{name}", "root", "qmail", 0o755, FILE) for name in (*BOOT, *COURIER))
    yield from (Entry(f"boot/{name}", "root", "qmail", 0o644, FILE) for name in UNITS)
    yield from (Entry(path, "root", "qmail", 0o644, FILE) for path in papers(source))
    yield Entry("pyproject.toml", "root", "qmail", 0o644, FILE)
    for directory, below, files in os.walk(os.path.join(source, "pyqmail")):
        below[:] = sorted(name for name in below if name != "__pycache__")
        place = os.path.relpath(directory, source)
        yield Entry(place, "root", "qmail", 0o755, DIR)
        yield from (Entry(f"{place}/{name}", "root", "qmail", 0o644, FILE) for name in sorted(files)
                    if name.endswith(".py"))


def papers(source):
    """The paths of the manual pages and the documents that `source` has."""
    for directory, ends in (*((f"man/man{section}", f".{section}") for section in SECTIONS), ("doc", ".md")):
        place = os.path.join(source, directory)
        if os.path.isdir(place):
            yield from (f"{directory}/{name}" for name in sorted(os.listdir(place)) if name.endswith(ends))


def ids(entry):
    """(uid, gid) of an entry in the home that home.HOME names."""
    return accounts.uid(entry.owner), accounts.gid(entry.group)


def deviations(source):
    """One line for each entry of the installed tree that is not as the table has it."""
    for entry in (*fixed(), *code(source)):
        path = home.path(entry.path)
        try:
            found = os.lstat(path)
        except OSError as why:
            yield f"{path} does not exist" if why.errno == errno.ENOENT else f"{path}: {text(why)}"
            continue
        uid, gid = ids(entry)
        if stat.S_IFMT(found.st_mode) != TYPES.get(entry.kind, stat.S_IFREG):
            yield f"{path} is not a {entry.kind}"
            continue
        if found.st_uid != uid:
            yield f"{path} has owner {found.st_uid}, should be {entry.owner} ({uid})"
        if found.st_gid != gid:
            yield f"{path} has group {found.st_gid}, should be {entry.group} ({gid})"
        if stat.S_IMODE(found.st_mode) != entry.mode:
            yield f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, should be {entry.mode:04o}"
        if entry.kind == ZEROS and found.st_size != names.TCPTO_SIZE:
            yield f"{path} has {found.st_size} bytes, should have {names.TCPTO_SIZE}"


class Layer:
    """Lays entries below home.HOME. Directories further down belong to users who could put symbolic
    links in our way, so every step is taken from the directory above it and follows none."""

    def __init__(self):
        self.root = os.open(home.HOME, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def lay(self, entry, content=None):
        """Make the entry, or mend its owner and mode. content: the bytes of a copied file. Returns True
        if something was made or replaced."""
        above, name = self.above(entry.path)
        try:
            if content is not None:
                return self.replace(above, name, entry, content)
            made = self.make(above, name, entry)
            self.mend(above, name, entry)
            return made
        except OSError as why:
            raise Temporary(f"unable to make {home.path(entry.path)}: {text(why)}") from why
        finally:
            os.close(above)

    def above(self, path):
        """(descriptor of the directory that holds `path`, last part of its name)"""
        *parts, name = path.split("/")
        fd = os.dup(self.root)
        for part in parts:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = inner
        return fd, name

    @staticmethod
    def make(above, name, entry):
        try:
            if entry.kind == DIR:
                os.mkdir(name, 0o700, dir_fd=above)
            elif entry.kind == FIFO:
                os.mkfifo(name, 0o600, dir_fd=above)
            else:
                fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=above)
                os.write(fd, bytes(names.TCPTO_SIZE) if entry.kind == ZEROS else b"")
                os.close(fd)
            return True
        except FileExistsError:
            return False

    @staticmethod
    def mend(above, name, entry):
        """Right type, owner and mode, without following a link. Raises Temporary for another type, and
        for a file to be changed that has a second name: by a hard link it may be any file."""
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
        try:
            found = os.fstat(fd)
            if stat.S_IFMT(found.st_mode) != TYPES.get(entry.kind, stat.S_IFREG):
                raise Temporary(f"{home.path(entry.path)} is not a {entry.kind}")
            right = (found.st_uid, found.st_gid) == ids(entry) and stat.S_IMODE(found.st_mode) == entry.mode
            if not right and entry.kind != DIR and found.st_nlink != 1:
                raise Temporary(f"{home.path(entry.path)} has another name: it may be somebody else's file")
            if (found.st_uid, found.st_gid) != ids(entry):
                os.fchown(fd, *ids(entry))
                found = os.fstat(fd)        # a change of owner takes set-gid bits away
            if stat.S_IMODE(found.st_mode) != entry.mode:
                os.fchmod(fd, entry.mode)
        finally:
            os.close(fd)

    def replace(self, above, name, entry, content):
        """Put a file with this content in place, in one step, unless it is there already."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            with open(fd, "rb") as f:
                if f.read() == content:
                    self.mend(above, name, entry)
                    return False
        except FileNotFoundError:
            pass
        temporary = f".{name}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=above)
        with open(fd, "wb") as f:
            f.write(content)
        self.mend(above, temporary, entry)
        os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)
        return True
