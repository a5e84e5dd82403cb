"""The services of an installation: how each is started, and what is known about it while it runs.

Which process a service is stands in run/NAME.pid (base/pidfile.py), whoever started it: the
supervisor, systemd, or a shell.
"""
import collections
import os

from ..base import accounts, child, control, errors, home, netio, pidfile, prot, sig
from ..base.errors import Temporary
from ..base.pidfile import running
from . import commands

# control: the file that turns the service on, by saying where it listens or, if not `listens`, by a number; None: it
# always runs
Service = collections.namedtuple("Service", "name control argv about listens", defaults=(True,))

SERVICES = (
    Service("send", None, ("rc",), "queue and deliveries", False),
    Service("rcptcheck", "rcptcheck", ("bin/qmail-rcptcheck", "--service"), "which recipients have a mailbox", False),
    Service("smtpd", "smtplisten", ("bin/qmail-smtpd", "--listen"), "SMTP"),
    Service("pop3d", "pop3listen", ("bin/qmail-popup", "--listen"), "POP3"),
    Service("qmtpd", "qmtplisten", ("bin/qmail-qmtpd", "--listen"), "QMTP"),
    Service("qmqpd", "qmqplisten", ("bin/qmail-qmqpd", "--listen"), "QMQP"),
)
NAMES = tuple(service.name for service in SERVICES)
RULES = ("control/tcp.smtp", "control/tcp.pop3", "control/tcp.qmtp", "control/tcp.qmqp")
SYSTEM_HOME = "/var/qmail"
DEV_LOG = "/dev/log"
FIRST_LOG = 3                       # the descriptor of the first of a logger's services
PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def by_name(name):
    return next(service for service in SERVICES if service.name == name)


def wanted():
    """The services this installation runs: a listener runs if its control file says where it listens."""
    return [service for service in SERVICES if is_wanted(service)]


def is_wanted(service):
    if service.listens or service.control is None:
        return service.control is None or control.exists(service.control)
    return control.number(service.control, 0) > 0


def addresses(name):
    """Where a service listens, as str, one entry an address; [] for those that listen on no address."""
    service = by_name(name)
    return [os.fsdecode(line) for line in control.lines(service.control) or ()] if service.listens else []


def command(service):
    """(argv, environment) of a service, as bytes."""
    argv = [os.fsencode(home.path(service.argv[0])), *map(os.fsencode, service.argv[1:])]
    return argv, {b"PATH": os.fsencode(home.path("bin")) + b":" + PATH}


def by_syslog():
    """True if syslog keeps our log. A further installation keeps its own: their lines would not be told apart."""
    return home.HOME == SYSTEM_HOME and os.path.exists(DEV_LOG)


def logger(places):
    """argv of the one logger of several services: syslog, or files below log/. places: {descriptor: service}."""
    kept = by_syslog()
    argv = [home.program("splogger" if kept else "qmail-log"), "--several"]
    for fd, name in places.items():
        argv += [str(fd), name if kept else home.path("log", name)]
    return [os.fsencode(word) for word in argv]


def log_place(name):
    """Where to read what a service says, for people."""
    if by_syslog():
        tag = "qmail" if name == "send" else name
        return f"syslog, facility mail, tag {tag} (journalctl -t {tag}, or /var/log/mail.log)"
    return home.path("log", name, "current")


# ---------------------------------------------------------------- who runs

def uid_of(process):
    """The effective uid of a process. (The owner of /proc/PID is root after a change of uid.)"""
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[2]) for line in f if line.startswith("Uid:"))


def seconds_up(process):
    with open("/proc/uptime", encoding="ascii") as f:
        return max(0, int(float(f.read().split()[0]) - process.start / os.sysconf("SC_CLK_TCK")))


def stopped(process):
    """True if the process is paused by a STOP signal."""
    return netio.read_file(f"/proc/{process.pid}/stat").rpartition(b")")[2].split()[0] == b"T"


def signal(name, number):
    """Send a signal to a service; False if it does not run, or has only just been started and would die of it."""
    process = running(name)
    if process is None or number in (sig.ALRM, sig.HUP) and not pidfile.catches(process, number):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False                # it ended just now
    return True


def signal_all(name, number):
    """Send a signal to a service and, if it is a listener, to its workers: they accept connections."""
    process = running(name)
    if process is None:
        return False
    workers = children(process.pid) if by_name(name).control else []
    for pid in (process.pid, *workers):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
    return True


def children(parent):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = netio.read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(pid))
    return found


# ---------------------------------------------------------------- starting

def check_owner():
    """Raises Temporary unless we are who may start this installation: root, or the private home's user."""
    owner = accounts.uid("root")
    if os.geteuid() != owner:
        raise Temporary(f"{home.HOME} belongs to uid {owner}: only that user can do this")


def start(service, log, prepare):
    """Fork and execute a service whose descriptors 1 and 2 are `log`; returns its pid. prepare() runs
    in the child first."""
    argv, env = command(service)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return child.start(argv[0], argv, {0: null, 1: log, 2: log}, cwd="/", env=env, failed=errors.TEMPORARY,
                           prepare=prepare)
    finally:
        os.close(null)


def start_logger(readers, prepare):
    """Fork and execute the logger, as qmaill. readers: {service: descriptor to read its lines from}."""
    def become_qmaill():
        prepare()
        prot.become(*accounts.ids("qmaill"))
        prot.no_new_privileges()
    places = dict(enumerate(readers, FIRST_LOG))
    argv = logger(places)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        fds = {fd: readers[name] for fd, name in places.items()}
        return child.start(argv[0], argv, {0: null, 1: null, 2: null, **fds}, cwd="/", env={b"PATH": PATH},
                           failed=errors.TEMPORARY, prepare=become_qmaill)
    finally:
        os.close(null)


def become(service):
    """Be the service: this process executes it. For systemd, and for trying things in the foreground."""
    pidfile.note(service.name, os.getpid())
    argv, env = command(service)
    os.chdir("/")
    child.execute(argv, env)


def compile_rules():
    """control/tcp.smtp -> control/tcp.smtp.cdb, and the other RULES that are there; the listeners see the new
    files at the next connection. A compiled file that is a link is the table that logins of virtual users are added
    to (virtual.py): they stay in it. Returns what was compiled, as paths."""
    present = [path for path in map(home.path, RULES) if os.path.exists(path)]
    for path in present:
        if os.path.islink(f"{path}.cdb"):
            from ..vpopmail import roaming      # needs a library that is not there before the first installation
            roaming.expire()
        else:
            commands.run(home.program("tcprules"), f"{path}.cdb", f"{path}.tmp", stdin=path)
    return present
