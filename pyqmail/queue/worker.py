"""The worker of the queue service: submissions in, messages in todo/ out.

A message that comes whole is written by the loop itself, and all that came in one turn go to the disk together: one
commit for many. One that comes in pieces has a thread when there is something of it to be written, and
while its client is silent two descriptors and nothing else.

What must stay true: nobody here waits for a client, or does what may wait for one; a thread waits for the disk only. No
descriptor of a client's is ever ours. A client hears of success only after the commit that has his message; what one
client does or leaves undone costs his own submissions only.
"""
import itertools
import os
import queue
import select
import threading
import time

from ..base import accounts, durable, errors, local, netio, sig
from . import insert, names, places, trigger, wire

IDLE = 3600                         # s; a submission that sends nothing for so long is given up
TOGETHER = names.DEATH              # s from its first piece to its last: qmail-clean must not find its files before
ROUND = 60                          # s between looks who is late
REQUEST_TIME = 10                   # s for the first packet to arrive
GRACE = 60                          # s for submissions under way when the service is asked to end
FULL = 71                           # exit code for one submission too many: "temporarily rejected"
FIRST_QP = 1 << 22                  # above every pid: numbers of submissions made without a process
LAST_QP = (1 << 31) - 1
AT_ONCE = 64                        # events a turn
THREADS = 32                        # at work, or waiting for the disk
PIECES = 32                         # taken from one client before it is the next one's turn


class Client:
    """A connection. deadline: when its first packet must be there; with pieces, when the next one must be. end: when the
    last one must be. busy: it is in the hands of a thread, or waits for one; the loop must not touch it."""

    __slots__ = ("peer", "deadline", "end", "busy", "qp", "files")

    def __init__(self, peer, deadline):
        self.peer, self.deadline, self.end = peer, deadline, 0
        self.busy, self.qp, self.files = False, 0, None


class Worker:
    """Serves as long as process `guardian` is its parent. listener: the listening socket. queue/ is the working
    directory."""

    def __init__(self, listener, guardian):
        self.listener, self.guardian = listener, guardian
        self.disk = durable.best() if on_one_file_system() else durable.Disk()
        self.groups = frozenset(os.getgroups()) - {os.getgid()}
        self.roles = accounts.roles()
        self.places = places.Places(self.roles, accounts.private() is not None, places.raise_limits())
        self.numbers = itertools.cycle(range(FIRST_QP + time.time_ns() // 1000 % (1 << 24), LAST_QP))
        self.packets = netio.Packets(wire.ROOM)
        self.epoll = select.epoll()
        self.waiting, self.pieces = {}, {}      # descriptor -> Client: without its first packet, oldest first; with pieces
        self.lock = threading.Lock()            # for places, pieces, busy, and the two numbers below
        self.threads = self.jobs = 0            # jobs: those waiting for a thread, too
        self.work = queue.SimpleQueue()
        self.next_round = time.monotonic() + ROUND

    def run(self):
        threading.stack_size(256 * 1024)
        reader, _ = sig.wake_pipe()
        sig.catch(sig.TERM, lambda: None)
        sig.ignore(sig.HUP, sig.INT, sig.PIPE)
        self.listener.setblocking(False)
        self.epoll.register(reader, select.EPOLLIN)
        self.epoll.register(self.listener, select.EPOLLIN)
        while os.getppid() == self.guardian:
            ready = self.poll(self.patience())
            if reader in ready and sig.TERM in os.read(reader, 4096):       # SIGALRM is local.Peer.cut's
                break
            self.turn(ready)
        self.epoll.unregister(reader)
        self.epoll.unregister(self.listener)
        local.aside(self.listener.close)        # there may be connections in it that nobody has accepted

    def poll(self, patience):
        return [fd for fd, _ in self.epoll.poll(patience, AT_ONCE)]

    def finish(self):
        """Go on with what is under way, GRACE seconds at most."""
        end = time.monotonic() + GRACE
        while self.places and time.monotonic() < end:
            self.turn(self.poll(0.05))

    def turn(self, ready):
        """Deal with the descriptors that are readable."""
        batch = []
        for fd in ready:
            if (client := self.waiting.get(fd)) is not None:
                self.receive(client, batch)
            elif (client := self.pieces.get(fd)) is not None:
                self.hand_out(client)
            elif fd == self.listener.fileno():
                self.accept()
        if batch:
            self.commit(batch)
        self.expire()

    def patience(self):
        """Seconds until somebody may be late; None if there is nobody."""
        first = next((client.deadline for client in self.waiting.values()), None)
        if self.pieces and (first is None or self.next_round < first):
            first = self.next_round
        return None if first is None else max(0, first - time.monotonic())

    def expire(self):
        now = time.monotonic()
        while self.waiting:
            client = next(iter(self.waiting.values()))
            if client.deadline > now:
                break
            self.take(client)
            self.leave(client)
        if now >= self.next_round:
            self.next_round = now + ROUND
            for client in list(self.pieces.values()):
                if now >= min(client.deadline, client.end):
                    self.hand_out(client)

    # ------------------------------------------------------------ clients

    def accept(self):
        for _ in range(AT_ONCE):
            try:
                peer = local.accept(self.listener)
            except BlockingIOError:
                return
            except OSError as why:
                errors.say("warning: qmail-queue service unable to accept: ", errors.text(why))
                time.sleep(0.1)     # out of descriptors: those who have some must finish first
                return
            self.admit(peer)

    def admit(self, peer):
        with self.lock:
            place = self.places.take(peer.uid)
        if not place:
            return self.refuse(peer)
        self.waiting[peer.fileno()] = Client(peer, time.monotonic() + REQUEST_TIME)
        self.epoll.register(peer, select.EPOLLIN)

    @staticmethod
    def refuse(peer):
        errors.say(f"warning: qmail-queue service: too many submissions at once by uid {peer.uid}")
        answer(peer, FULL, 0)
        peer.cut()                      # it has no place, so nothing would count its thread

    def take(self, client):
        """The loop watches this client no more."""
        self.epoll.unregister(client.peer)
        del self.waiting[client.peer.fileno()]

    def leave(self, client):
        """The connection is over."""
        with self.lock:
            self.pieces.pop(client.peer.fileno(), None)
        client.peer.close(self.left)

    def left(self, uid):
        with self.lock:
            self.places.give_back(uid)

    def receive(self, client, batch):
        """A request is there, or the client has gone. A message that came whole is added to `batch`."""
        try:
            request = wire.request(self.packets.receive(client.peer))
        except BlockingIOError:
            return
        except OSError:
            request = None
        except MemoryError as why:      # this client's trouble, and nobody else's
            answer(client.peer, code_of(why), 0)
            request = None
        if request is None:
            self.take(client)
            return self.leave(client)
        as_pid, text, envelope = request
        client.qp = client.peer.pid if as_pid else next(self.numbers)
        if text is None:
            return self.expect(client)
        self.take(client)
        self.write(client, text, envelope, batch)

    # ------------------------------------------------------------ messages that came whole

    def write(self, client, text, envelope, batch):
        try:
            batch.append((client, insert.insert_whole(text, envelope, self.caller(client), self.groups)))
        except Exception as why:
            self.dismiss(client, code_of(why))

    def commit(self, batch):
        """Put the messages of a turn on the disk and answer."""
        all_files = [files for _, files in batch]
        try:
            insert.commit(all_files, self.disk)
        except Exception as why:        # a bug: what was not decided is not promised
            errors.say("warning: qmail-queue service: ", errors.unforeseen(why))
        if any(files.code == 0 for files in all_files):
            trigger.pull()
        for client, files in batch:
            files.close()
            self.dismiss(client, insert.WRITE_ERROR if files.code is None else files.code)

    def dismiss(self, client, code):
        answer(client.peer, code, client.qp)
        self.leave(client)

    def caller(self, client):
        peer = client.peer
        return insert.Caller(peer.uid, peer.gid, client.qp, insert.invoked(peer.uid, self.roles))

    # ------------------------------------------------------------ messages in pieces

    def expect(self, client):
        """The message will come in pieces."""
        del self.waiting[client.peer.fileno()]
        now = time.monotonic()
        client.deadline, client.end = now + IDLE, now + TOGETHER
        self.pieces[client.peer.fileno()] = client
        self.epoll.modify(client.peer, select.EPOLLIN | select.EPOLLONESHOT)

    def hand_out(self, client):
        """There is something to do for this client: for a thread."""
        with self.lock:
            if client.busy:
                return
            client.busy = True
            self.jobs += 1
            more = self.threads < min(self.jobs, THREADS)
            self.threads += more
        self.work.put(client)
        if more:
            try:
                threading.Thread(target=self.labour, daemon=True).start()
            except RuntimeError:        # those that there are will do it; if there is none, we do
                errors.say("warning: qmail-queue service: unable to start a thread")
                with self.lock:
                    self.threads -= 1
                    none = not self.threads
                if none:
                    self.one_job(self.packets)

    def labour(self):
        """A thread: a turn of one submission after the other."""
        packets = netio.Packets(wire.ROOM)
        while True:
            self.one_job(packets)

    def one_job(self, packets):
        client = self.work.get()
        try:
            self.serve(client, packets)
        except Exception as why:            # it must not cost the others anything
            errors.say("warning: qmail-queue service: ", errors.unforeseen(why))
        finally:
            with self.lock:
                self.jobs -= 1

    def serve(self, client, packets):
        """Do what there is to do for this client."""
        try:
            if self.go_on(client, packets):
                files, client.files = client.files, None
                self.commit([(client, files)])
        except Exception as why:
            code = code_of(why)
            if client.files is not None:
                client.files.give_up(code)
            self.dismiss(client, code)

    def go_on(self, client, packets):
        """Write what has come. True if the message is complete; else more is waited for. Raises what code_of() knows."""
        now = time.monotonic()
        if now >= client.end:
            raise insert.Refused(insert.TIMEOUT)
        for _ in range(PIECES):
            try:
                piece = packets.view(client.peer)
            except BlockingIOError:
                if now >= client.deadline:
                    raise insert.Refused(insert.TIMEOUT) from None
                break
            except OSError:
                piece = b""
            if self.add(client, piece):
                return True
        client.deadline = now + IDLE
        with self.lock:
            client.busy = False
            self.epoll.modify(client.peer, select.EPOLLIN | select.EPOLLONESHOT)
        return False

    def add(self, client, piece):
        """A packet, b"" for their end. True if the message is complete. Raises insert.Refused."""
        if client.files is None:
            client.files = insert.Files(self.caller(client), self.groups)
        kind, data = bytes(piece[:1]), piece[1:]
        if len(data) > wire.PACKET:
            raise insert.Refused(insert.READ_ERROR)
        if kind == wire.TEXT and client.files.intd < 0:
            client.files.add_text(data)
            return False
        if kind != wire.ENVELOPE:       # above all the end of all packets
            raise insert.Refused(insert.READ_ERROR)
        return bool(data) and client.files.add_envelope(data)


def on_one_file_system():
    """True if all of the queue that a message touches on its way in shares one journal."""
    places = ["pid", "intd", "todo", *(f"mess/{part}" for part in range(names.SPLIT))]
    try:
        return len({os.stat(place).st_dev for place in places}) == 1
    except OSError:
        return False


def answer(sock, code, qp):
    try:
        wire.send_answer(sock, code, qp)
    except OSError:
        pass                        # the client is gone; if it was queued, it is queued


def code_of(why):
    """qmail-queue's exit code for what stopped a submission; what nobody foresaw is told."""
    if not isinstance(why, insert.Refused):
        errors.say("warning: qmail-queue service: ", errors.unforeseen(why))
    return insert.reason(why)
