"""A connection of an asyncio loop for one protocol, without what asyncio does for each of its own.

asyncio makes a task, futures, calls for later and three look-ups of addresses for a connection; for a client that
sends one message that is half of the work. Here are the methods of asyncio.Transport that a server's protocol needs,
with the same promises: connection_made, data_received, eof_received, pause_writing, resume_writing and connection_lost
are called as asyncio calls them, the last one never from within a call of ours.
"""
from . import errors

READ = 65_536                       # bytes a read
HIGH, LOW = 65_536, 16_384          # bytes unsent: the protocol is told above the one, and again at the other


class Transport:
    """sock: connected, not blocking; it is closed at the end. Begins at once: protocol.connection_made(self)."""

    def __init__(self, loop, sock, protocol):
        self._loop, self._sock, self._fd, self._protocol = loop, sock, sock.fileno(), protocol
        self._unsent, self._choked, self._paused, self._ended, self._over = b"", False, False, False, False
        self._closing = False
        protocol.connection_made(self)
        self._listen()

    def is_closing(self):
        return self._closing

    # reading

    def _listen(self):
        if not (self._closing or self._paused or self._ended):
            self._loop.add_reader(self._fd, self._readable)

    def pause_reading(self):
        if not self._paused:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def resume_reading(self):
        if self._paused:
            self._paused = False
            self._listen()

    def _readable(self):
        try:
            data = self._sock.recv(READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as why:
            self._lose(why)
            return
        try:
            if data:
                self._protocol.data_received(data)
                return
            self._ended = True
            self._loop.remove_reader(self._fd)
            if not self._protocol.eof_received():
                self.close()
        except Exception as why:    # a bug: it costs this connection
            errors.say("alert: ", errors.unforeseen(why))
            self._lose(why)

    # writing

    def write(self, data):
        """Send, or keep for later, `data`; of a connection that is over, nothing."""
        if self._over or not data:
            return
        if not self._unsent:
            data = data[self._send(data):]
            if not data or self._over:
                return
            self._loop.add_writer(self._fd, self._writable)
        self._unsent += data
        if len(self._unsent) > HIGH and not self._choked:
            self._choked = True
            self._protocol.pause_writing()

    def _send(self, data):
        """How many bytes were sent."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as why:
            self._lose(why)
            return 0

    def _writable(self):
        self._unsent = self._unsent[self._send(self._unsent):]
        if self._over:
            return
        if not self._unsent:
            self._loop.remove_writer(self._fd)
            if self._closing:
                self._lose(None)
        if self._choked and len(self._unsent) <= LOW:
            self._choked = False
            self._protocol.resume_writing()

    # the end

    def close(self):
        """Nothing is read any more; what is unsent goes out first."""
        if not self._closing:
            self._closing = True
            self._loop.remove_reader(self._fd)
            if not self._unsent:
                self._lose(None)

    def abort(self):
        self._lose(None)

    def _lose(self, why):
        if self._over:
            return
        self._over = self._closing = True
        self._unsent = b""
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._loop.call_soon(self._lost, why)

    def _lost(self, why):
        try:
            self._protocol.connection_lost(why)
        finally:
            self._sock.close()
