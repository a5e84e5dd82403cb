"""Who controls an address: asked here, answered in a process of its own.

**Security**: qmail-lspawn, as root, opens users/cdb and forks; the forked process becomes qmailp:nofiles
for good, and only there is the database read, are a stranger's addresses taken apart and is the
system asked for accounts. One process answers many questions, one at a time. It is replaced when
users/cdb was, when it is old, when a look-up hangs, and when it dies: that costs the one question.

An answer holds for HOLD seconds while users/cdb and /etc/passwd are the same: in a burst of mail to one address that
saves most of the look-ups, which cost 0.1 ms each. What changes elsewhere, in an account of another source or in the
owner of a home, counts that much later.

Question: one packet, b"g" or b"c" and the local part; g: where users/cdb has nothing, answer as
qmail-getpw does. Answer: one packet, b"=" and the fields, b"-" (nobody is assigned), or b"!" and an
exit code of users.codes.
Source: qmail-lspawn(8).
"""
import os
import socket
from collections import deque

from ..base import home, limits, netio, prot, sandbox, sig
from ..base.filemark import mark, of
from ..users import lookup, passwd
from ..users.codes import BUG, CDB, MEMORY, SYSTEM, Undecided

PACKET = 200_000                    # bytes; longer local parts cannot be on a command line either
LOOKUP_TIME = 300                   # s for one look-up; then its process dies of SIGALRM
SLOW_AFTER = 2                      # s; then the questions that wait go to another process
SLOW_MAX = 10                       # processes with a look-up that hangs
HOLD, HELD = 0.1, 1000              # s; answers
AGE_MAX = 3600                      # s; the system's ways to find accounts may be configured anew
SOCKET, DATABASE = 3, 4             # descriptors of the process


class Resolver:
    """The asking side. ids: (uid, gid) of qmailp:nofiles; clock: base.clock.Clock."""

    def __init__(self, loop, ids, clock):
        self._loop, self._ids, self._clock = loop, ids, clock
        self._held = {}                 # question -> (until, marks of the files, fields)
        self._packets = netio.Packets(2 * PACKET)
        self._waiting = deque()         # (question, answered)
        self._process = None            # answers one question at a time
        self._slow = set()              # processes that still owe an answer, and get no other question

    def ask(self, local, getpw, answered):
        """answered(found) is called, soon or at once: found is bytes, the fields (users.lookup.controller
        takes them); None if nobody is assigned, only with getpw=False; or an Undecided."""
        if len(local) >= PACKET:
            answered(Undecided(MEMORY))
            return
        question = (b"g" if getpw else b"c") + local
        fields = self._held_answer(question)
        if fields is not None:
            answered(fields)
            return
        self._waiting.append((question, answered))
        self.next()

    def _held_answer(self, question):
        """The fields of an answer that holds, None if there is none."""
        until, marks, fields = self._held.get(question, (0, None, None))
        return fields if self._clock.monotonic() < until and marks == file_marks() else None

    def _hold(self, process, fields):
        if len(self._held) >= HELD:
            self._held.clear()
        self._held[process.question] = process.asked + HOLD, process.marks, fields

    def next(self):
        """Ask what can be asked. Returns the seconds after which it must be called again if nothing
        happens: a look-up that hangs holds up no others. None: no need."""
        while self._waiting:
            if self._process and self._process.answered:
                patience = self._process.asked + SLOW_AFTER - self._clock.monotonic()
                if patience > 0 or len(self._slow) >= SLOW_MAX:
                    return max(patience, 1)
                self._slow.add(self._process)
                self._process = None
            self._put(*self._waiting.popleft())
        return None

    def _put(self, question, answered):
        try:
            process = self._current()
            process.question, process.marks = question, file_marks()
            process.socket.send(question)
            process.answered, process.asked = answered, self._clock.monotonic()
        except Undecided as why:
            answered(why)
        except OSError:
            self._retire(self._process)
            answered(Undecided(SYSTEM))

    def _current(self):
        """A process that has nothing to do and the present users/cdb. Raises Undecided."""
        process, now = self._process, cdb_mark()
        if process and (process.mark != now or self._clock.monotonic() - process.born > AGE_MAX):
            self._retire(process)
        if not self._process:
            self._process = self._start()
        return self._process

    def _start(self):
        database, current = open_cdb()
        ours = theirs = None
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            process = Process(ours, current, self._clock.monotonic())
            fds = {2: 2, SOCKET: theirs.fileno()} | ({} if database is None else {DATABASE: database})
            self._loop.fork(lambda: serve(self._ids, database is not None), fds, lambda status: self._lost(process))
            self._loop.watch(ours.fileno(), lambda: self._readable(process))
            return process
        except OSError:
            if ours:
                ours.close()
            raise Undecided(SYSTEM) from None
        finally:
            if theirs:
                theirs.close()
            if database is not None:
                os.close(database)

    def _readable(self, process):
        try:
            answer = self._packets.receive(process.socket)
        except OSError:
            answer = b""
        if not answer or not process.answered:
            self._lost(process)
            return
        answered, process.answered = process.answered, None
        if process in self._slow:
            self._retire(process)
        found = understood(answer)
        if isinstance(found, bytes):
            self._hold(process, found)
        answered(found)
        self.next()

    def _lost(self, process):
        """The process is gone: the question it had cannot be answered now, the others go to the next one."""
        self._retire(process)
        if process.answered:
            answered, process.answered = process.answered, None
            answered(Undecided(SYSTEM))
        self.next()

    def _retire(self, process):
        """Let go of a process; it ends at end of file."""
        self._slow.discard(process)
        if process is self._process:
            self._process = None
        if process.socket.fileno() >= 0:
            self._loop.forget(process.socket.fileno())
            process.socket.close()


class Process:
    """A process that answers: our end of its socket, the mark of its users/cdb, when it was started; whom to
    give the answer it owes (None: it owes none), and when it was asked; what it was asked and how the files were then."""

    def __init__(self, sock, mark, born):
        self.socket, self.mark, self.born = sock, mark, born
        self.answered, self.asked, self.question, self.marks = None, born, b"", None


def file_marks():
    """What changes when one of the files does that accounts and addresses are in."""
    return of(home.path("users", "cdb")), of(passwd.PASSWD)


def cdb_mark():
    """What changes when users/cdb does; None if there is none. Raises Undecided."""
    try:
        return mark(os.stat(home.path("users", "cdb")))
    except FileNotFoundError:
        return None
    except OSError:
        raise Undecided(CDB) from None


def open_cdb():
    """(descriptor of users/cdb, its mark), (None, None) if there is none. Raises Undecided."""
    try:
        fd = os.open(home.path("users", "cdb"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return fd, mark(os.fstat(fd))
    except FileNotFoundError:
        return None, None
    except OSError:
        raise Undecided(CDB) from None


def understood(answer):
    """What an answer packet means: bytes, None, or an Undecided; an answer that is none is a BUG."""
    kind, rest = answer[:1], answer[1:]
    if kind == b"=":
        return rest
    if kind == b"-" and not rest:
        return None
    return Undecided(int(rest) if kind == b"!" and rest.isdigit() and len(rest) <= 3 else BUG)


def serve(ids, has_cdb):
    """The answering process, from its first moment as root to its end."""
    prot.become(*ids)
    prot.not_dumpable()
    limits.enter("qmail-lspawn look-ups")
    sandbox.enter(None, sockets=sandbox.USUAL, tcp=True)        # accounts may come from other machines
    database = open_database() if has_cdb else None
    sock = socket.socket(fileno=SOCKET)
    packets = netio.Packets(PACKET + 1)
    while question := packets.receive(sock):
        sig.alarm(LOOKUP_TIME)
        answer = answer_to(question, database)
        sig.alarm(0)
        try:
            sock.send(answer)
        except OSError:                 # data that no packet holds
            sock.send(b"!%d" % MEMORY)
    os._exit(0)


def open_database():
    """A cdb.Reader, or the Undecided to give as answer to everything."""
    from ..base import cdb              # the library stays out of root's process
    try:
        return cdb.Reader(DATABASE)
    except Exception:
        return Undecided(CDB)


def answer_to(question, database):
    """The answer packet. Never raises: trouble is an answer, too."""
    try:
        found = None
        if isinstance(database, Undecided):
            raise database
        if database is not None:
            found = lookup.find(database, question[1:])
        if found is None and question.startswith(b"g"):
            found = passwd.getpw(question[1:])
        return b"-" if found is None else b"=" + found
    except Undecided as why:
        return b"!%d" % why.code
    except MemoryError:
        return b"!%d" % MEMORY
    except Exception:
        return b"!%d" % SYSTEM
