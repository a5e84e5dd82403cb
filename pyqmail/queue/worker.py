"""The worker of the queue service: submissions in, messages in todo/ out.

A message that comes whole is written by the loop itself, and all that came in one turn go to the disk together: one
commit for many. A message behind descriptors of the client's takes a thread, for nobody knows how long they keep
it waiting (reads and fsync run outside the interpreter lock).

What must stay true: the loop reads no descriptor of a client's; a client hears of success only after the commit
that has his message; what one client does or leaves undone costs his own submissions only.
"""
import itertools
import os
import queue
import select
import socket
import struct
import threading
import time

from ..base import accounts, durable, errors, limits, sig
from . import insert, names, trigger, wire

PER_USER = {"qmaild": 200, "qmails": 100}       # submissions at once: the network, bounces
PER_STRANGER = 50                   # of any other uid
STRANGERS = 150                     # of all other uids together: they cannot take the places of those two
DESCRIPTORS = 8 * (sum(PER_USER.values()) + STRANGERS) + 64     # a submission uses five
IDLE = 3600                         # s; a submission that sends nothing for so long is given up
REQUEST_TIME = 10                   # s for the request packet to arrive
GRACE = 60                          # s for submissions under way when the service is asked to end
FULL = 71                           # exit code for one submission too many: "temporarily rejected"
FIRST_QP = 1 << 22                  # above every pid: numbers of submissions made without a process
LAST_QP = (1 << 31) - 1
CREDENTIALS = struct.Struct("3i")
AT_ONCE = 64                        # events a turn


class Client:
    """A connection. deadline: when its request must be there."""

    __slots__ = ("socket", "pid", "uid", "gid", "deadline")

    def __init__(self, sock, pid, uid, gid, deadline):
        self.socket, self.pid, self.uid, self.gid, self.deadline = sock, pid, uid, gid, deadline


class Worker:
    """Serves as long as process `guardian` is its parent. listener: the listening socket. queue/ is the working
    directory."""

    def __init__(self, listener, guardian):
        self.listener, self.guardian = listener, guardian
        self.disk = durable.best() if on_one_file_system() else durable.Disk()
        self.groups = frozenset(os.getgroups()) - {os.getgid()}
        self.private = accounts.private() is not None
        self.roles = accounts.roles()
        self.numbers = itertools.cycle(range(FIRST_QP + time.time_ns() // 1000 % (1 << 24), LAST_QP))
        self.epoll, self.waiting = select.epoll(), {}       # descriptor -> Client whose request is not there, oldest first
        self.active, self.idle, self.lock = {}, 0, threading.Lock()
        self.work = queue.SimpleQueue()

    def run(self):
        threading.stack_size(256 * 1024)
        limits.descriptors(DESCRIPTORS)
        reader, _ = sig.wake_pipe()
        sig.catch(sig.TERM, lambda: None)
        sig.ignore(sig.HUP, sig.INT, sig.PIPE)
        self.listener.setblocking(False)
        self.epoll.register(reader, select.EPOLLIN)
        self.epoll.register(self.listener, select.EPOLLIN)
        while os.getppid() == self.guardian:
            ready = [fd for fd, _ in self.epoll.poll(self.patience(), AT_ONCE)]
            if reader in ready:
                break
            self.turn(ready)
        self.listener.close()

    def finish(self):
        """Wait for what is under way, GRACE seconds at most."""
        end = time.monotonic() + GRACE
        while self.waiting and time.monotonic() < end:      # some have sent their request already
            ready = [fd for fd, _ in self.epoll.poll(0, AT_ONCE)]
            if not ready:
                break
            self.turn(ready)
        while self.active_threads() and time.monotonic() < end:
            time.sleep(0.02)

    def active_threads(self):
        with self.lock:
            return sum(self.active.values()) - len(self.waiting)

    def turn(self, ready):
        """Deal with the descriptors that are readable."""
        batch = []
        for fd in ready:
            client = self.waiting.get(fd)
            if client is not None:
                self.receive(client, batch)
            elif fd == self.listener.fileno():
                self.accept()
        if batch:
            self.commit(batch)
        self.expire()

    def patience(self):
        """Seconds until the first client's time is up; None if there is none."""
        for client in self.waiting.values():
            return max(0, client.deadline - time.monotonic())
        return None

    def expire(self):
        now = time.monotonic()
        while self.waiting:
            client = next(iter(self.waiting.values()))
            if client.deadline > now:
                return
            self.take(client)
            self.leave(client)

    # ------------------------------------------------------------ clients

    def accept(self):
        for _ in range(AT_ONCE):
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as why:
                errors.say("warning: qmail-queue service unable to accept: ", errors.text(why))
                time.sleep(0.1)     # out of descriptors: those who have some must finish first
                return
            self.admit(sock)

    def admit(self, sock):
        pid, uid, gid = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
        with self.lock:
            if not self.room(uid):
                return self.refuse(sock, f"too many submissions at once by uid {uid}")
            self.active[uid] = self.active.get(uid, 0) + 1
        sock.setblocking(False)
        self.waiting[sock.fileno()] = Client(sock, pid, uid, gid, time.monotonic() + REQUEST_TIME)
        self.epoll.register(sock, select.EPOLLIN)

    def room(self, uid):
        """True if this uid may have one more submission under way."""
        own = sum(PER_USER.values()) if self.private else PER_USER.get(self.roles.get(uid))
        if own is not None:
            return self.active.get(uid, 0) < own
        others = sum(count for other, count in self.active.items() if self.roles.get(other) not in PER_USER)
        return self.active.get(uid, 0) < PER_STRANGER and others < STRANGERS

    @staticmethod
    def refuse(sock, why):
        errors.say("warning: qmail-queue service: ", why)
        answer(sock, FULL, 0)
        sock.close()

    def take(self, client):
        """The loop watches this client no more."""
        self.epoll.unregister(client.socket)
        del self.waiting[client.socket.fileno()]

    def leave(self, client):
        client.socket.close()
        with self.lock:
            self.active[client.uid] -= 1
            if not self.active[client.uid]:
                del self.active[client.uid]

    def receive(self, client, batch):
        """A request is there, or the client has gone. A message that came whole is added to `batch`."""
        try:
            request = wire.receive_request(client.socket)
        except BlockingIOError:
            return
        except OSError:
            request = None
        except MemoryError as why:      # this client's trouble, and nobody else's
            answer(client.socket, code_of(why), 0)
            request = None
        self.take(client)
        if request is None:
            self.leave(client)
        elif len(request) == 2:
            self.write(client, *request, batch)
        else:
            self.hand_on(client, request)

    # ------------------------------------------------------------ messages that came whole

    def write(self, client, text, envelope, batch):
        qp = next(self.numbers)
        try:
            batch.append((client, qp, insert.insert_whole(text, envelope, self.caller(client, qp), self.groups)))
        except Exception as why:
            answer(client.socket, code_of(why), qp)
            self.leave(client)

    def commit(self, batch):
        """Put the messages of a turn on the disk and answer."""
        all_files = [files for _, _, files in batch]
        try:
            insert.commit(all_files, self.disk)
        except Exception as why:        # a bug: what was not decided is not promised
            errors.say("warning: qmail-queue service: ", errors.unforeseen(why))
        if any(files.code == 0 for files in all_files):
            trigger.pull()
        for client, qp, files in batch:
            files.close()
            answer(client.socket, insert.WRITE_ERROR if files.code is None else files.code, qp)
            self.leave(client)

    def caller(self, client, qp):
        return insert.Caller(client.uid, client.gid, qp, insert.invoked(client.uid, self.roles))

    # ------------------------------------------------------------ messages behind a client's descriptors

    def hand_on(self, client, request):
        with self.lock:
            if self.idle:
                self.idle -= 1
                thread = None
            else:
                thread = threading.Thread(target=self.labour, daemon=True)
        try:
            if thread is not None:
                thread.start()
        except RuntimeError:            # those under way must not suffer for it
            errors.say("warning: qmail-queue service: unable to start a thread")
            for fd in request[:2]:
                os.close(fd)
            answer(client.socket, FULL, 0)
            self.leave(client)
        else:
            self.work.put((client, request))

    def labour(self):
        """A thread: one submission after the other."""
        while True:
            client, request = self.work.get()
            try:
                self.read(client, *request)
            except Exception as why:        # it must not cost the others anything
                errors.say("warning: qmail-queue service: ", errors.unforeseen(why))
            finally:
                with self.lock:
                    self.idle += 1
                self.leave(client)

    def read(self, client, message, envelope, as_pid):
        qp = client.pid if as_pid else next(self.numbers)
        try:
            insert.insert(message, envelope, self.caller(client, qp), IDLE, self.disk, self.groups)
            code = 0
        except Exception as why:
            code = code_of(why)
        finally:
            os.close(message)
            os.close(envelope)
        answer(client.socket, code, qp)


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
