"""`qmailctl install`: everything an installation needs, laid once and mended when run again.

What an administrator wrote is never touched: control/, users/, alias/, rc, the rules and every
program of bin/ that is not ours stay as they are. Code is replaced by the source's.
"""
import os
import pwd
import secrets
import stat

from ..auth import poppasswd
from ..base import accounts, home
from ..base.errors import Temporary, text
from ..users import passwd
from . import (commands, dependencies, hands, hier, interpreter, mailboxes, manual, onefile, services, settings, startup,
               users)

PRIVATE_HOME = "~/pyqmail-home"
RULES = '127.:allow,RELAYCLIENT=""\n::1:allow,RELAYCLIENT=""\n:allow\n'
PORTS = {"smtp": (25, 2525), "pop3": (110, 2110)}      # of a system, of a private home
SENDMAIL = ("/usr/sbin/sendmail", "/usr/lib/sendmail")
PLACEHOLDER = b"QMAILHOME"          # in the files of boot/


class Setup:
    """One run of the installer: from `source` (a checkout or an installation) to `directory`."""

    def __init__(self, source, directory, *, smtp=None, pop3=None, venv=None, tell=print):
        self.source, self.directory, self.venv, self.tell = source, directory, venv, tell
        self.root = os.geteuid() == 0
        self.smtp = settings.addresses(smtp, PORTS["smtp"][not self.root], everywhere=self.root)
        self.pop3 = settings.addresses(pop3, PORTS["pop3"][not self.root], everywhere=self.root)
        self.system_wide = self.root and directory == services.SYSTEM_HOME
        self.kept = []              # programs of bin/ that somebody put there
        self.password = None        # the POP3 password made for a private home

    def run(self):
        os.umask(0o022)
        check_reachable(self.directory, private=not self.root)
        python = interpreter.choose(private=not self.root)
        self.make_home()
        if self.root:
            users.make_missing(self.directory, self.tell)
        home.HOME = self.directory  # from here on, accounts and paths are those of the new home
        layer = hier.Layer()
        for entry in hier.fixed():
            layer.lay(entry)
        if self.source != self.directory:
            self.lay_code(layer, python)
        if self.venv:
            dependencies.share(self.venv)
        dependencies.install(self.source, python, self.tell)
        commands.run(python, "-IS", "-m", "compileall", "-q", home.path("pyqmail"))
        for program, modules in onefile.PROGRAMS.items():
            commands.run(python, "-ISXutf8", home.path("pyqmail/install/onefile.py"), program, *modules)
        self.configure()
        if self.system_wide:
            self.join_system()

    # ------------------------------------------------------------ the tree

    def make_home(self):
        """The home itself, or the one that is there if it is ours to install into."""
        owner = os.geteuid()
        try:
            os.makedirs(self.directory, 0o755)
        except FileExistsError:
            found = os.lstat(self.directory)
            if not stat.S_ISDIR(found.st_mode):
                raise Temporary(f"{self.directory} is not a directory") from None
            if found.st_uid != owner:
                raise Temporary(f"{self.directory} belongs to uid {found.st_uid}: "
                                "only that user can install there") from None
        except OSError as why:
            raise Temporary(f"unable to make {self.directory}: {text(why)}") from why

    def lay_code(self, layer, python):
        current = []
        for entry in hier.code(self.source):
            current.append(entry.path)
            path = os.path.join(self.source, entry.path)
            if entry.kind == hier.DIR:
                layer.lay(entry)
                continue
            if not os.path.exists(path):
                raise Temporary(f"{path} does not exist: the source is not complete")
            with open(path, "rb") as f:
                content = f.read()
            if entry.kind == hier.PROGRAM:
                if self.somebody_elses(entry):
                    continue
                content = interpreter.launcher(content, python)
            elif entry.path.startswith("boot/"):
                content = content.replace(PLACEHOLDER, os.fsencode(self.directory))
            layer.lay(entry, content)
        self.remove_old_modules(frozenset(current))

    def somebody_elses(self, entry):
        """True if an administrator put another program in this place; it stays."""
        name = entry.path.removeprefix("bin/")
        if os.path.lexists(home.path(entry.path)) and not home.ours(name):
            self.kept.append(name)
            return True
        return False

    def remove_old_modules(self, current):
        """Modules of an older version that the source no longer has."""
        for directory, _, files in os.walk(home.path("pyqmail")):
            for name in files:
                path = os.path.relpath(os.path.join(directory, name), self.directory)
                if name.endswith(".py") and path not in current:
                    os.unlink(home.path(path))

    # ------------------------------------------------------------ its settings

    def configure(self):
        name = settings.host_name()
        files = settings.controls(name, self.smtp, self.pop3, new=not os.path.lexists(home.path("control/me")))
        for written in settings.write_missing(home.path("control"), files):
            self.tell(f"made control/{written}")
        settings.write_missing(home.path("control"), {"tcp.smtp": RULES})
        if not os.path.exists(home.path("control/tcp.smtp.cdb")):
            services.compile_rules()
        with open(home.path("boot/maildir"), encoding="utf-8") as f:
            settings.write_missing(home.HOME, {"rc": f.read()}, 0o755)
        self.aliases()
        if not self.root:
            self.one_user()

    def one_user(self):
        """A private home's user needs a Maildir, and a password for POP3 that is not his login's."""
        user = pwd.getpwuid(os.geteuid())
        if mailboxes.make(f"{user.pw_dir}/Maildir"):
            self.tell(f"made {user.pw_dir}/Maildir")
        if not os.path.exists(home.path("users/poppasswd")):
            self.password = secrets.token_urlsafe(9)
            poppasswd.put(os.fsencode(user.pw_name), self.password.encode())

    def aliases(self):
        """root, postmaster and mailer-daemon go to whoever installs, by way of sudo or not; from
        plain root to alias's own Maildir, in the directory that mail for alias is delivered from."""
        person = os.environ.get("SUDO_USER", "") if self.root else pwd.getpwuid(os.geteuid()).pw_name
        known = person and person != "root" and users.user_exists(person)
        content = f"&{person}\n" if known else ""
        uid, gid = accounts.ids("alias")
        alias = passwd.alias(accounts.private()).pw_dir
        if not os.path.lexists(alias):
            os.makedirs(os.path.dirname(alias), 0o755, exist_ok=True)
            os.mkdir(alias, 0o700)
            os.chown(alias, uid, accounts.gid("qmail"))
            os.chmod(alias, 0o2755)
            self.tell(f"made {alias}, the home of the user alias")

        def make():
            mailboxes.make(f"{alias}/Maildir")
            for name in settings.write_missing(alias, {f".qmail-{name}": content for name in settings.SKELETONS}):
                os.chmod(f"{alias}/{name}", 0o644)
            return True
        if not mailboxes.as_user(uid, gid, make):
            raise Temporary(f"unable to set up {alias}")

    # ------------------------------------------------------------ the machine around it

    def join_system(self):
        """The sendmail command, the manual and start scripts outside the home, where nothing is in the way."""
        for path in SENDMAIL:
            target = home.program("sendmail")
            if not os.path.lexists(path):
                os.symlink(target, path)
                self.tell(f"made {path}")
            elif os.path.realpath(path) != os.path.realpath(target):
                self.tell(f"{path} is another program; to use pyqmail's: ln -sf {target} {path}")
        manual.link(self.tell)
        startup.install(self.tell)


def check_reachable(directory, private):
    """Every user must be able to get to the home of a system, and nobody to exchange it: all directories above
    let others pass, and belong to root or to us."""
    if not os.path.isabs(directory) or any(c in directory for c in "\n:'\"\\ "):
        raise Temporary(f"{directory!r}: the home must be an absolute path without blanks, colons and quotes")
    above = os.path.dirname(directory)
    while not private and above != "/":
        if os.path.isdir(above) and not os.stat(above).st_mode & 0o001:
            raise Temporary(f"{above} is closed to other users: qmail's users could not reach {directory}")
        above = os.path.dirname(above)
    above = os.path.dirname(directory)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    foreign = hands.root_may_not_trust(above)
    if foreign:
        raise Temporary(f"{foreign} can be changed by others, who could put another {directory} there")
