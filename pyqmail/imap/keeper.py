"""The root process of authdaemond: takes requests from the front, gives each a process of its own.

**Security**: root, without a byte of what clients said but the fields of a request, whose number and length it
counts. The answer goes straight from a request's process to whoever asked.
"""
import selectors
import socket
import struct
import time

from ..base import child, errors, listen, passing, sig
from ..base.errors import Temporary
from . import answers, wire

NAME = "authdaemond"
TIME = 90                           # s for a request, beyond what a check may take
LISTING = 900                       # s for ENUMERATE
FULL_PAUSE = 0.5                    # s after a failure to take a request: descriptors or memory have run out


class Keeper:
    """run() until there is nobody who could ask."""

    def __init__(self, requests, settings, read_settings):
        """requests: receiving end of passing.pair(). settings: a settings.Settings; read_settings() reads them
        again, for SIGHUP."""
        self.requests, self.settings, self.read_settings = requests, settings, read_settings
        self.busy = {}              # pid: kind of request

    def run(self, front):
        """Serve until SIGTERM, then pass that on to the process `front`, and return 0; 111 if the front ends by
        itself. Requests under way are finished."""
        reader, _ = sig.wake_pipe()
        ended, hangups = [], []
        sig.catch(sig.TERM, lambda: ended.append(True))
        sig.catch(sig.HUP, lambda: hangups.append(True))
        sig.catch(sig.CHLD, lambda: None)
        self.requests.setblocking(False)
        with selectors.DefaultSelector() as idle, selectors.DefaultSelector() as ready:
            idle.register(reader, selectors.EVENT_READ)
            ready.register(reader, selectors.EVENT_READ)
            ready.register(self.requests, selectors.EVENT_READ)
            while not ended:
                if hangups:
                    hangups.clear()
                    self.reload()
                chosen = ready if len(self.busy) < self.settings.daemons else idle
                fds = [key.fd for key, _ in chosen.select()]
                if reader in fds:
                    sig.drain(reader)
                for pid, status in child.reap():
                    if pid == front:
                        errors.say(NAME, f": alert: the front ended with status {status}")
                        return errors.TEMPORARY
                    self.busy.pop(pid, None)
                if self.requests.fileno() in fds and not self.take():
                    return errors.TEMPORARY
        listen.tell([front], sig.TERM)
        return 0

    def reload(self):
        try:
            self.settings = self.read_settings()
        except Temporary as why:
            errors.say(NAME, ": warning: old settings kept: ", str(why))

    def take(self):
        """One request; False when there will be no more."""
        try:
            taken = passing.receive(self.requests, wire.LONGEST)
        except BlockingIOError:
            return True
        except EOFError:
            return False
        except OSError as why:
            errors.say(NAME, ": warning: unable to take a request: ", errors.text(why))
            time.sleep(FULL_PAUSE)
            return True
        if taken is None:
            errors.say(NAME, ": alert: the front sent what is no request")
            return True
        connection, data = taken
        with connection:
            self.serve(connection, data)
        return True

    def serve(self, connection, data):
        try:
            request = wire.unpacked(data)
        except wire.Malformed:
            errors.say(NAME, ": alert: the front sent what is no request")
            return
        if request.kind == wire.ENUMERATE and wire.ENUMERATE in self.busy.values():
            errors.say(NAME, ": warning: one ENUMERATE at a time")
            return
        try:
            pid = child.fork(lambda: self.attend(connection, request))
        except OSError as why:
            errors.say(NAME, ": warning: unable to fork: ", errors.text(why))
            return
        self.busy[pid] = request.kind

    def attend(self, connection, request):
        """The life of a request's process."""
        sig.wakeup(-1)
        sig.default(sig.TERM, sig.HUP, sig.CHLD, sig.ALRM)
        limit = LISTING if request.kind == wire.ENUMERATE else TIME
        sig.alarm(limit)
        self.requests.close()
        connection.setblocking(True)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", TIME, 0))
        said = []

        def send(data):
            said.append(data == wire.FAIL)
            connection.sendall(data)
        try:
            answers.answer(request, send, self.settings.defaults)
        except (Temporary, OSError) as why:
            errors.say(NAME, ": warning: ", self.shown(request), " deferred: ",
                       errors.text(why) if isinstance(why, OSError) else str(why))
            return 0
        if self.settings.debug:
            errors.say(NAME, ": debug: ", self.shown(request), ": ", "refused" if any(said) else "answered")
        return 0

    def shown(self, request):
        """A request for the log, passwords only where the settings ask for them."""
        words = request.words if self.settings.debug > 1 else request.words[:1]
        text = b" ".join((request.kind, request.service, *words, request.ip))
        return bytes(byte if 32 <= byte <= 126 else ord("_") for byte in text)[:500]
