"""A submission that never blocks: for programs that serve many clients from one event loop.

    flow = Flow(loop, environ)                  # raises OSError, as Submission does
    if not flow.put(text, resume):              # False: call put or finish again only after resume()
        ...
    flow.finish(sender, recipients, done)       # later: done(answer, qp)

loop: an asyncio loop. answer and qp
are those of Submission. What waits here is never more than one put or one envelope.
"""
import os

from ..base import child, netio
from .client import Submission, envelope


class Flow:
    def __init__(self, loop, environ):
        self._loop, self._queue = loop, Submission(environ)
        self._pending, self._then, self._done, self._watched = b"", None, None, -1
        self._soon, self._opened, self._pid = None, False, 0    # the pid is 0 where the service does it

    def put(self, text, resume):
        """Add to the message. True if all of it has been taken; else resume() will be called once it is."""
        return self._put(self._queue.keep(text), resume)

    def _put(self, text, resume):
        if not self._opened and self._queue.opened:             # from now on there is somebody to write to
            self._opened, self._pid = True, self._queue.qp
            self._queue.unblock()
        return self._write("message", text, resume)

    def fail(self):
        """Break off: nothing will be queued. finish() still gives the answer."""
        self._queue.fail()

    def finish(self, sender, recipients, done):
        """The message is complete. done(answer, qp) is called when the queue has said what becomes of it."""
        self._done = done
        if self._put(self._queue.hand_over(sender, recipients), lambda: self._complete(sender, recipients)):
            self._complete(sender, recipients)

    def _complete(self, sender, recipients):
        self._end("message")
        nobody = not self._opened or self._queue.broken
        if nobody or self._write("envelope", b"".join(envelope(sender, recipients)), self._submitted):
            self._submitted()

    def abandon(self):
        """Let go of everything; no callback comes any more. A program that was started is reaped when it ends."""
        self._end("message")
        self._end("envelope")
        self._unwatch()
        if self._soon is not None:
            self._soon.cancel()
        if self._pid:
            netio.close_quietly(self._queue.text_fd)
            self._queue.text_fd = -1
            self._reap(self._pid)
        else:
            self._queue.abandon()

    def _write(self, end, data, then):
        queue = self._queue
        while data and not queue.broken:
            try:
                written = queue.write(end, data)
            except BlockingIOError:
                self._pending, self._then = data, then
                self._loop.add_writer(queue.target(end), self._writable, end)
                return False
            except OSError:
                queue.fail()
                break
            data = data[written:] if written < len(data) else b""
        return True

    def _writable(self, end):
        self._loop.remove_writer(self._queue.target(end))
        data, then, self._pending, self._then = self._pending, self._then, b"", None
        if self._write(end, data, then):
            then()

    def _submitted(self):
        """The envelope is written: the answer comes when the service speaks or the program ends."""
        self._end("envelope")
        if self._pid:
            os.set_blocking(self._queue.text_fd, False)     # somebody else may hold its other end open
            self._watched = os.pidfd_open(self._pid)
        elif self._queue.reply >= 0:
            self._watched = self._queue.reply
        else:
            self._soon = self._loop.call_soon(self._answered)
            return
        self._loop.add_reader(self._watched, self._answered)

    def _answered(self):
        self._unwatch()
        self._pid = 0
        answer = self._queue.wait()
        self._done(answer, self._queue.qp)

    def _unwatch(self):
        if self._watched >= 0:
            self._loop.remove_reader(self._watched)
            if self._pid:
                os.close(self._watched)
            self._watched = -1

    def _end(self, end):
        if self._then is not None and self._queue.target(end) >= 0:
            self._loop.remove_writer(self._queue.target(end))
            self._then = None
        self._queue.end(end)

    def _reap(self, pid):
        fd = os.pidfd_open(pid)

        def ended():
            self._loop.remove_reader(fd)
            os.close(fd)
            child.wait(pid)
        self._loop.add_reader(fd, ended)
