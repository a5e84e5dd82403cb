"""One TCP connection to a mail server in an event loop, carrying one dialogue after the other.

Everything happens in callbacks of the loop, without a coroutine's turn for each reply: with small messages that is
most of the work (0.6 ms of CPU a message became 0.2). There is one timer a connection, set anew only when it has
fired: it finds out by itself that the connection has been busy since.
Memory: two blocks of the message and what a server says in one reply.
"""
import os

from . import client, remote

READ = 1 << 14                      # bytes of a server's words at a time


class Connection:
    """A connected socket that does not block. peer: client.Peer. loop: asyncio's. born: when it was made, in its
    time. greeted: the server has said something."""

    def __init__(self, loop, sock, peer):
        self._loop, self._sock, self._fd, self.peer = loop, sock, sock.fileno(), peer
        self.born = loop.time()
        self._session = self._timer = self._done = None
        self._out = b""             # what the socket does not take at present
        self.left = None            # while no dialogue is under way: called when the server speaks or hangs up
        self._listening, self.greeted = False, False
        self._listen(True)

    def run(self, session, message, timeout):
        """Carry a client.Session to its end. message: a descriptor. timeout: s without any progress. Returns a
        future; it has an exception for a fault of ours only."""
        now = self._loop.time()
        self._session, self._message, self._at, self._ready = session, message, 0, b""
        self._timeout, self._waiting_since, self._end = timeout, now, now + remote.DELIVERY_MAX
        self._done = self._loop.create_future()
        self._progress(now)
        if not self._timer:
            self._timer = self._loop.call_at(self._deadline, self._late)
        self._step(lambda: self._write(session.opening))
        return self._done

    def close(self, farewell=b""):
        """End it. farewell: sent if the socket takes it at once."""
        if self._fd < 0:
            return
        if farewell and not self._out:
            try:
                self._sock.send(farewell)
            except OSError:
                pass
        self._listen(False)
        self._loop.remove_writer(self._fd)
        if self._timer:
            self._timer.cancel()
        self._sock.close()
        self._fd = -1

    # ------------------------------------------------------------ what the loop calls

    def _readable(self):
        if self._session:
            self._step(self._hear)
        elif self.left:
            self.left(self)         # nobody has asked anything: it hangs up, says why before it does, or makes noise

    def _writable(self):
        self._step(self._write_rest)

    def _late(self):
        self._timer = None
        if self._session:
            if self._loop.time() >= self._deadline:
                self._step(self._session.lost)
            else:
                self._timer = self._loop.call_at(self._deadline, self._late)

    def _step(self, step):
        """One step, whatever comes of it; then see whether the dialogue is over."""
        session = self._session
        try:
            step()
        except OSError:
            session.lost()
        except Exception as why:
            self._finish(why)
            return
        if session.wants is client.NOTHING:
            self._finish(None)
        else:                       # what it says before its turn stays with the kernel
            self._listen(session.wants is client.READ and not self._out)

    def _finish(self, why):
        if self._session.stays:
            self._listen(True)      # it was not, if the verdict was here before all of the message had been sent
        done, self._session, self._done = self._done, None, None
        if not done.done():         # else nobody waits any more
            if why:
                done.set_exception(why)
            else:
                done.set_result(None)

    # ------------------------------------------------------------ steps; they raise OSError

    def _hear(self):
        try:
            data = self._sock.recv(READ)
        except (BlockingIOError, InterruptedError):
            return
        session, now, self.greeted = self._session, self._loop.time(), True
        self._progress(now)
        answer = session.receive(data)
        if answer:
            self._waiting_since = now
            self._write(answer)
        elif now - self._waiting_since > remote.PATIENCE * self._timeout:
            session.lost()
        self._say_message()

    def _say_message(self):
        """The message in blocks, until the socket takes no more. The last block goes out together with the final
        dot: a small message is one packet. Only once it has been sent a reply that is here already counts."""
        session = self._session
        while session.wants is client.MESSAGE and not self._out:
            try:
                block = os.pread(self._message, remote.BLOCK, self._at)     # from the page cache: queued a moment ago
            except OSError:
                session.unreadable()
                return
            ready, self._ready = self._ready, b""
            if not block:
                self._write(ready + session.body_end())
                self._waiting_since = self._loop.time()
                break
            self._at += len(block)
            self._ready = session.body(block)
            if ready:
                self._write(ready)
                if not self._out:   # a fast receiver of a big message does not stop the others
                    self._loop.call_soon(self._resume)
                return
        if not self._out:
            self._write(session.proceed())

    def _resume(self):
        if self._session:
            self._step(self._say_message)

    def _write(self, data):
        if self._out:
            self._out += data
        elif data:
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            if sent < len(data):
                self._out = data[sent:]
                self._loop.add_writer(self._fd, self._writable)

    def _write_rest(self):
        try:
            self._out = self._out[self._sock.send(self._out):]
        except (BlockingIOError, InterruptedError):
            return
        now = self._loop.time()
        self._progress(now)
        if not self._out:
            self._waiting_since = now
            self._loop.remove_writer(self._fd)
            self._say_message()

    def _listen(self, listen):
        if listen != self._listening:
            self._listening = listen
            if listen:
                self._loop.add_reader(self._fd, self._readable)
            else:
                self._loop.remove_reader(self._fd)

    def _progress(self, now):
        self._deadline = min(now + self._timeout, self._end)
