"""Courier IMAP on the accounts of virtual domains: `qmailctl imap courier`, and starting it.

A tree of its own, QMAILHOME/courier-imap or one that this leads to, laid out as
Courier's own used to be:

    etc/imapd etc/imapd-ssl etc/authdaemonrc etc/imapd.cnf       settings: made if missing, never changed
    libexec/imapd.rc libexec/imapd-ssl.rc                        start|stop|restart|status
    libexec/authlib/authdaemond                                  the same for our authdaemond
    libexec/authlib/authvchkpw share/mkimapdcert sbin/mkimapdcert
    libexec/couriertcpd bin/imapd bin/couriertls sbin/imaplogin sbin/courierlogger       links to Debian's programs
    share/imapd.pem                                              key and certificate
    run/                                                         pid files
"""
import os
import shutil
import stat

from ..base import accounts, control, home, netio
from ..base.errors import Temporary
from ..imap import place as asked, settings as authdaemonrc
from ..vpopmail import home as vpop
from . import commands, courier_files as files, services, settings, startup, users

ROLE = "authdaemon"                 # the uid of authdaemond's front
DIRECTORIES = ("", "etc", "bin", "sbin", "libexec", "libexec/authlib", "share", "run")
#            in the tree            Debian's place
PROGRAMS = (("libexec/couriertcpd", "usr/sbin/couriertcpd"), ("bin/imapd", "usr/bin/imapd"),
            ("sbin/imaplogin", "usr/lib/courier/courier/imaplogin"), ("bin/couriertls", "usr/bin/couriertls"),
            ("sbin/courierlogger", "usr/sbin/courierlogger"))
OURS = (("libexec/imapd.rc", "boot/imapd.rc"), ("libexec/imapd-ssl.rc", "boot/imapd.rc"),
        ("libexec/authlib/authdaemond", "boot/authdaemond.rc"), ("libexec/authlib/authvchkpw", "bin/authvchkpw"),
        ("sbin/mkimapdcert", "boot/mkimapdcert"), ("share/mkimapdcert", "boot/mkimapdcert"))
SERVERS = (("imapd", "IMAPDSTART"), ("imapd-ssl", "IMAPDSSLSTART"))
THEIRS = ("courier-authdaemon", "courier-imap", "courier-imap-ssl")
IMAP, IMAPS = 143, 993             # ports
UNIT = f"{startup.UNITS}/qmail-imap.service"


class Tree:
    """The tree of an installation: `prefix`, the addresses asked for (str or None), `root`, below which Debian's
    courier-imap lies. tell(line) hears what was made."""

    def __init__(self, tell, prefix=None, imap=None, imaps=None, root=None):
        self.tell, self.root = tell, root or "/"
        self.prefix = os.path.abspath(prefix) if prefix else place()
        self.imap, self.imaps = split(imap, IMAP), split(imaps, IMAPS)

    def make(self):
        """Make what is missing. Raises Temporary, OSError."""
        if accounts.private() or os.geteuid() != 0:
            raise Temporary("Courier IMAP becomes its users: only root, in an installation of root's, can set it up")
        if not os.path.isdir(vpop.path(b"domains")):
            raise Temporary(f"{os.fsdecode(vpop.path())} is no home of virtual domains yet: qmailctl vpopmail")
        programs = [(path, self.program(debian)) for path, debian in PROGRAMS]
        self.check_place()
        self.check_others()
        self.make_user()
        for name in DIRECTORIES:
            self.directory(os.path.join(self.prefix, name).rstrip("/"))
        self.lead_here()
        for path, target in (*programs, *((path, home.path(name)) for path, name in OURS)):
            self.link(path, target)
        self.settings()
        self.certificate()
        self.unit()

    def program(self, debian):
        """The path of one of Courier's programs: below `root`, or where it is installed."""
        for path in (os.path.join(self.root, debian), os.path.join("/", debian)):
            if os.access(path, os.X_OK):
                return path
        raise Temporary(f"there is no /{debian}: install Debian's packages courier-imap and courier-authlib")

    def check_place(self):
        """Raises Temporary if the users, who execute bin/imapd, could not get there."""
        place = os.path.realpath(self.prefix)
        while place != "/":
            place = os.path.dirname(place)
            if not os.stat(place).st_mode & stat.S_IXOTH:
                raise Temporary(f"mail users cannot enter {place}: chmod o+x, or another --prefix")

    def check_others(self):
        """Raises Temporary while somebody else answers where Courier's programs ask."""
        if asked.answers(authdaemonrc.DIRECTORY) and not running(self.prefix, "authlib/authdaemond"):
            raise Temporary(f"another authdaemond serves in {authdaemonrc.DIRECTORY.decode()}, Debian's perhaps: "
                            f"systemctl disable --now {' '.join(THEIRS)}; then try again")

    def make_user(self):
        if not users.user_exists(ROLE):
            commands.run("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                         "--shell", users.shell(), ROLE)
            self.tell(f"made user {ROLE}")

    def directory(self, path):
        if not os.path.isdir(path):
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)
            self.tell(f"made {path}")

    def lead_here(self):
        """QMAILHOME/courier-imap is the tree, or leads to it."""
        ours = place()
        if os.path.realpath(ours) == os.path.realpath(self.prefix):
            return
        if os.path.islink(ours):
            os.unlink(ours)
        elif os.path.lexists(ours):
            raise Temporary(f"{ours} is there already; with another --prefix it must make room")
        os.symlink(self.prefix, ours)
        self.tell(f"linked {ours}")

    def link(self, path, target):
        path = f"{self.prefix}/{path}"
        if os.path.islink(path) and os.readlink(path) == target:
            return
        if os.path.lexists(path):
            if not os.path.islink(path):
                self.tell(f"kept {path}, which is not a link of ours")
                return
            os.unlink(path)
        os.symlink(target, path)
        self.tell(f"linked {path}")

    def settings(self):
        name = (control.line("me") or b"localhost").decode("ascii", "replace")
        words = {"PREFIX": self.prefix, "HOME": home.HOME, "NAME": name, "DOMAIN": settings.default_domain(name),
                 "ADDRESS": self.imap[0], "PORT": self.imap[1], "SSLADDRESS": self.imaps[0], "SSLPORT": self.imaps[1],
                 "CRAM": " AUTH=CRAM-MD5" if vpop.enabled(b"clear-passwd") else ""}
        cnf = files.OPENSSL_CNF if shutil.which("openssl") else files.CERTTOOL_CNF
        contents = {"imapd": files.IMAPD, "imapd-ssl": files.IMAPD_SSL, "authdaemonrc": files.AUTHDAEMONRC,
                    "imapd.cnf": cnf}
        made = settings.write_missing(f"{self.prefix}/etc",
                                      {file: files.filled(text, **words) for file, text in contents.items()})
        for file in contents:
            self.tell(f"{'made' if file in made else 'kept'} {self.prefix}/etc/{file}")

    def certificate(self):
        """A first certificate, so that there is TLS; signed by itself, as nobody else is here to do it."""
        path = f"{self.prefix}/share/imapd.pem"
        if os.path.lexists(path):
            return
        status, output = commands.attempt(f"{self.prefix}/sbin/mkimapdcert")
        self.tell(f"made {path}, signed by itself" if status == 0 else
                  f"no certificate yet: {self.prefix}/sbin/mkimapdcert: {output.strip()[-500:]}")

    def unit(self):
        if os.path.isdir(startup.SYSTEMD_RUNS) and home.HOME == services.SYSTEM_HOME and not os.path.exists(UNIT):
            settings.write_missing(os.path.dirname(UNIT),
                                   {os.path.basename(UNIT): files.filled(files.UNIT, HOME=home.HOME)})
            commands.run("systemctl", "daemon-reload")
            commands.run("systemctl", "enable", os.path.basename(UNIT))
            self.tell(f"made {UNIT}")

    def next_steps(self):
        """Lines that say what to do now."""
        yield ""
        yield "Users of virtual domains read mail by IMAP, with their address as the name, after"
        yield f"    {home.program('qmailctl')} imap start       (and whenever qmail is started)"
        enabled = [name for name in THEIRS
                   if os.path.lexists(f"/etc/systemd/system/multi-user.target.wants/{name}.service")]
        if enabled:
            yield "At the next boot Debian's own would be in the way:"
            yield f"    systemctl disable --now {' '.join(enabled)}"
        yield f"Settings: {self.prefix}/etc. A certificate in your name: change {self.prefix}/etc/imapd.cnf, remove"
        yield f"{self.prefix}/share/imapd.pem, run {self.prefix}/share/mkimapdcert, imap restart."


def split(address, port):
    """(ADDRESS, PORT) as couriertcpd takes them, of ADDR:PORT. Raises Temporary."""
    if address is None:
        return "0", str(port)
    host, _, port = settings.address(address, port).rpartition(":")
    host = host.strip("[]")
    return "0" if host in ("0.0.0.0", "::") else host, port


def place():
    return home.path("courier-imap")


def there():
    """True if this installation has a tree."""
    return os.path.exists(f"{place()}/libexec/imapd.rc")


def script(prefix, name):
    return f"{prefix}/libexec/{name}"


def running(prefix, name):
    path = script(prefix, name)
    return os.path.exists(path) and commands.attempt(path, "status")[0] == 0


def wanted():
    """The names of the servers that are to be started."""
    return [name for name, start in SERVERS if setting(name, start).upper() == b"YES"]


def setting(file, name):
    """A setting of the tree, b"" if it has none."""
    try:
        data = netio.read_file(f"{place()}/etc/{file}", 1 << 20)
    except FileNotFoundError:
        return b""
    return authdaemonrc.assignments(data).get(name.encode(), b"")


def start():
    """Start the servers. Raises Temporary with what a script said."""
    for name in wanted():
        commands.run(script(place(), f"{name}.rc"), "start")


def stop():
    for name, _ in SERVERS:
        commands.run(script(place(), f"{name}.rc"), "stop")


def with_services(verb):
    """`qmailctl start` and `qmailctl stop`: through systemd where it is in charge. Raises Temporary."""
    if os.path.isdir(startup.SYSTEMD_RUNS) and os.path.exists(UNIT) and home.HOME == services.SYSTEM_HOME:
        commands.run("systemctl", verb, os.path.basename(UNIT))
    elif there():
        {"start": start, "stop": stop}[verb]()


def states():
    """(name, True if it runs) of each server that should, and of those that do."""
    for name, _ in SERVERS:
        up = running(place(), f"{name}.rc")
        if up or name in wanted():
            yield name, up


# ---------------------------------------------------------------- qmailctl imap …

def courier(tell, options):
    """`qmailctl imap courier`. options: prefix, imap, imaps, courier (the place of Debian's package) or nothing."""
    tree = Tree(tell, options.get("prefix"), options.get("imap"), options.get("imaps"), options.get("courier"))
    tree.make()
    for line in tree.next_steps():
        tell(line)
