"""qmail-start: turn on mail delivery.

    qmail-start [aliasempty [logger arg ...]]

Makes every pipe and every process of the delivery side, gives each its identity, and becomes
qmail-send. `aliasempty` is the delivery instruction for users without a .qmail file (default
./Mailbox); without a logger the log goes to descriptor 1. The programs are looked up along PATH,
which `rc` sets; if they are not there everything ends with 111, silently.

The queue service (see qmail-queue) is started beside them, as nobody's child, and ends with
qmail-send; its complaints go to the same log. The service holds one end of a pipe and qmail-send, if it is
pyqmail's, the other.

Exit codes: 111 cannot start; otherwise those of qmail-send.

**Security**: started as root, reads nothing from strangers. Each child gives up root before it
executes anything; a change of identity that does not take ends that process. All but qmail-send (which
may have to execute C's set-uid qmail-queue) and qmail-lspawn can gain no rights again. In a private home
everything stays the one user who owns it, and root refuses to start it: root would run what that
user may exchange.
Source: qmail-start(8).
"""
import os

from ..base import accounts, child, control, errors, home, pidfile, prot
from ..queue import places

CANNOT = errors.TEMPORARY
SERVICE = 7                         # qmail-send's descriptor whose other end the queue service holds
NARROW = 120                        # more remote deliveries at once need the two-byte delivery numbers of --wide


def main(argv):
    os.chdir("/")
    os.umask(0o077)
    owner = accounts.uid("root")
    if os.geteuid() != owner:
        raise errors.Temporary(f"{home.HOME} belongs to uid {owner}: only that user can start it")
    aliasempty, logger = argv[:1] or [b"./Mailbox"], argv[1:]
    own_descriptors()
    try:
        pidfile.note("send", os.getpid())       # for qmailctl, however we were started
    except OSError:
        pass                                    # no run/ here: qmailctl cannot help, mail can flow
    qmail = accounts.gid("qmail")
    prot.as_root_with(qmail)
    log = start_logger(logger) if logger else 1
    service = start_queue_service(log) if home.ours("qmail-queue") else None

    to_lspawn, from_lspawn = os.pipe(), os.pipe()
    to_rspawn, from_rspawn = os.pipe(), os.pipe()
    to_clean, from_clean = os.pipe(), os.pipe()
    wide = wide_remote()
    start([b"qmail-lspawn", *aliasempty], {0: to_lspawn[0], 1: from_lspawn[1]})
    start([b"qmail-rspawn", *(b"--wide",)[:wide]], {0: to_rspawn[0], 1: from_rspawn[1]}, "qmailr", qmail)
    start([b"qmail-clean"], {0: to_clean[0], 1: from_clean[1]}, "qmailq", qmail)

    environment = child.environment()
    environment.pop(b"QMAILSERVICE", None)
    watched = service is not None and ours_is_found("qmail-send")
    if watched:
        environment[b"QMAILSERVICE"] = b"%d" % SERVICE
    prot.become(accounts.uid("qmails"), qmail)
    child.place({0: log, 1: to_lspawn[1], 2: from_lspawn[0], 3: to_rspawn[1], 4: from_rspawn[0],
                 5: to_clean[1], 6: from_clean[0], **({SERVICE: service} if watched else {})})
    try:
        child.execute([b"qmail-send", *(b"--wide-remote",)[:wide]], environment)
    except OSError:
        return CANNOT


def own_descriptors():
    """0, 1 and 2 are there, nothing else is, and nothing gets into a child unless it is put there."""
    while (spare := os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) < 3:
        pass
    os.closerange(spare, os.sysconf("SC_OPEN_MAX"))
    for fd in range(3):
        os.set_inheritable(fd, False)


def start(argv, fds, role=None, gid=None):
    """Fork and execute argv[0], found along PATH, as `role` with gid as its only group; root if None."""
    prepare = (lambda: confine(accounts.uid(role), gid)) if role else None
    return child.start(argv[0], argv, fds, search=child.search_path(), failed=CANNOT, prepare=prepare)


def start_logger(argv):
    """The descriptor to write the log to. The logger reads it as its descriptor 0 and has our 1."""
    reader, writer = os.pipe()
    start(argv, {0: reader, 1: 1}, "qmaill", accounts.gid("nofiles"))
    os.close(reader)
    return writer


def start_queue_service(log):
    """The queue service as no child of ours (qmail-send waits for children it knows), following our pid. Returns a
    descriptor that is at its end when there is no service any more."""
    program, pid = os.fsencode(home.program("qmail-queue")), os.getpid()
    alive, held = os.pipe()

    def between():
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        child.start(program, [program, b"--service", b"--follow", b"%d" % pid, b"--held"],
                    {0: null, 1: log, 2: log, 3: held}, failed=CANNOT, prepare=become_qmailq)
    if child.wait(child.fork(between)):
        raise errors.Temporary("unable to start the queue service")
    os.close(held)
    return alive


def become_qmailq():
    places.raise_limits()
    confine(*accounts.ids("qmailq"), groups=[accounts.gid("nofiles")])


def confine(uid, gid, groups=None):
    """Be uid for good; no program executed from here on, set-uid or not, gets any other rights."""
    prot.become(uid, gid, groups)
    prot.no_new_privileges()


def wide_remote():
    """True if control/concurrencyremote asks for more than qmail's protocol allows and both ends are ours."""
    try:
        many = control.number("concurrencyremote", 0) > NARROW
    except errors.Temporary:
        return False                # qmail-send will say so in the log
    return many and ours_is_found("qmail-send") and ours_is_found("qmail-rspawn")


def ours_is_found(name):
    """True if looking `name` up along PATH gives pyqmail's own program."""
    found = child.find(os.fsencode(name), child.search_path())
    return found is not None and home.ours(name) and os.path.samefile(found, home.program(name))
