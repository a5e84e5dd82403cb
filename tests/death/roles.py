"""Who can be struck, and in which life: every program that has a message in its hands, or somebody's mail."""
import pwd

# Programs that are executed: of these only calls on our own files and Python's are made to fail, for what sh and the
# dynamic linker do before is not ours.
OWN = "{home}/(pyqmail|queue|control|users|run)|/lib/python3|{homes}|[0-9]+/[0-9]+|^tmp/|^new/|^pid/|^intd/|^todo/"


class Role:
    """pids(place): the processes to watch, None where the life starts one. life: the name of a method of Place. new:
    only what they fork from now on is watched; own: only they. cold: programs that are executed anew for each delivery
    meanwhile. executed: a program's whole start is among its calls. frozen(place): processes that do nothing until
    several messages are there. together: all of `pids` die at once. first(place): processes that are killed in any
    case, before the message comes. hears: clients speak with this very process."""

    def __init__(self, pids=None, life="by_smtp", *, new=False, own=False, cold=(), frozen=None, together=False,
                 first=None, hears=False):
        self.pids, self.life, self.new, self.own, self.cold, self.frozen = pids, life, new, own, cold, frozen
        self.together, self.first, self.hears = together, first, hears
        self.executed = pids is None or bool(cold) and new or life == "pop3"


def named(program):
    return lambda place: place.mail.processes(program)


def workers(program):
    return lambda place: place.mail.workers(program)


def guardian(place):
    return list(place.mail.service()[:1])


def worker(place):
    return list(place.mail.service()[1:])


def both(place):
    return list(place.mail.service())


def root(program):
    return lambda place: [process for process in place.mail.processes(program) if process.uid == 0]


def main_process(program):
    def found(place):
        among = place.mail.processes(program)
        pids = {process.pid for process in among}
        return [process for process in among if process.parent not in pids]
    return found


def uid_of(name):
    return pwd.getpwnam(name).pw_uid


def lookups(place):
    return [process for process in place.mail.workers("qmail-lspawn") if process.uid == uid_of("qmailp")]


def warm(place):
    uids = {uid_of(person.name) for person in (place.reader, place.sender)}
    return [process for process in place.mail.workers("qmail-lspawn") if process.uid in uids]


def warm_virtual(place):
    return [process for process in place.mail.workers("qmail-lspawn") if process.uid == uid_of("vpopmail")]


def all_warm(place):
    return [*warm(place), *warm_virtual(place)] if place.virtual else warm(place)


ROLES = {
    "qmail-smtpd": Role(workers("qmail-smtpd"), hears=True),
    "qmail-smtpd, 40 kB": Role(workers("qmail-smtpd"), "large", hears=True),
    "qmail-qmtpd": Role(workers("qmail-qmtpd"), "qmtp", hears=True),
    "qmail-qmqpd": Role(workers("qmail-qmqpd"), "qmqp", hears=True),
    "queue service": Role(worker),
    "queue service, 40 kB": Role(worker, "large"),
    "queue service, 4 at once": Role(worker, "several", frozen=worker),
    "queue service's guardian": Role(guardian, own=True, first=worker),
    "queue service, both at once": Role(both, together=True),
    "qmail-queue": Role(life="queue_by_root"),
    "qmail-queue, a client": Role(life="queue_by_user"),
    "sendmail": Role(life="sendmail"),
    "qmail-send": Role(named("qmail-send")),
    "qmail-send, 4 at once": Role(named("qmail-send"), "several", frozen=named("qmail-send")),
    "qmail-clean": Role(named("qmail-clean")),
    "qmail-lspawn": Role(root("qmail-lspawn"), own=True),
    "qmail-lspawn, making warm ones": Role(root("qmail-lspawn"), first=all_warm),
    "look-ups": Role(lookups),
    "warm qmail-local": Role(warm),
    "warm, virtual users": Role(warm_virtual),
    "cold qmail-local": Role(root("qmail-lspawn"), new=True, cold=("qmail-local",)),
    "qmail-rspawn": Role(workers("qmail-rspawn")),
    "qmail-rspawn, kept connections": Role(workers("qmail-rspawn"), "several", frozen=named("qmail-send")),
    "qmail-rspawn's guardian": Role(main_process("qmail-rspawn"), own=True, cold=("qmail-remote",)),
    "cold qmail-remote": Role(named("qmail-rspawn"), new=True, cold=("qmail-remote",)),
    "qmail-pop3d": Role(root("qmail-popup"), "pop3", new=True),
}
