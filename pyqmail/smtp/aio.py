"""Many SMTP clients in one process: aiosmtpd's connection with qmail's session inside.

aiosmtpd gives the connection, its transport and its life; every byte a client sends goes to
smtp/session.py, which knows all replies. aiosmtpd's own reader would hold whole messages in memory,
cut slow ones off, and answer errors with their Python text; none of it is used here.

What must stay true: the loop never waits for one client or for the queue. A client that sends
faster than the queue takes, or does not read its replies, is not read from.
"""
import time

from aiosmtpd.smtp import SMTP

from ..base import errors
from ..queue.flow import Flow
from ..queue.names import DEATH
from . import session as smtp

AHEAD = 65_536                      # bytes a client may send while its message is being queued


class Connection(SMTP):
    """One client. `session`: its smtp Session; `environ`: its variables, for the queue program; asker: a
    rcptcheck.flow.Asker; ended(connection, status) is called once, when the connection is over."""

    prototype = None

    def __init__(self, loop, session, environ, timeout, asker, ended):
        # What aiosmtpd prepares for each connection takes longer than a whole message; none of it differs.
        if Connection.prototype is None:
            Connection.prototype = SMTP(None, hostname="-", loop=loop, data_size_limit=None)   # "": a DNS look-up
        self.__dict__.update(Connection.prototype.__dict__)
        self.loop, self.smtp, self.environ, self._asker, self._ended = loop, session, environ, asker, ended
        self._timeout_duration, self._timeout_handle = timeout, None
        self.transport, self._flow, self._busy_since, self._heard = None, None, None, loop.time()
        self._ahead, self._choked, self._stopped, self._draining, self._eof = b"", False, False, False, False

    # asyncio calls

    def connection_made(self, transport):
        self.transport = transport
        self._timeout_handle = self.loop.call_later(self._timeout_duration, self._timeout_cb)
        self._go()

    def data_received(self, data):
        self._heard = self.loop.time()
        if self._busy_since is not None or self._choked:
            self._ahead += data
            if len(self._ahead) > AHEAD:
                self._stop_reading()
            return
        self.smtp.feed(data)
        self._go()

    def eof_received(self):
        """Whoever stops sending is gone, as for qmail-smtpd, once what was sent has been dealt with."""
        self._eof = True
        return self._busy_since is not None or self._choked

    def connection_lost(self, error):
        self.transport = None
        self._timeout_handle.cancel()
        if self._flow is not None:
            self._flow.abandon()
            self._flow = None
        self._ended(self, self.smtp.status if self.smtp.closed else 1)

    def pause_writing(self):
        self._choked = True

    def resume_writing(self):
        self._choked, self._heard = False, self.loop.time()
        if self._busy_since is None:
            self._go_on()

    # the end of the worker

    def drain(self):
        """End the session as soon as no message is under way."""
        self._draining = True
        if not self.smtp.in_message and self._busy_since is None:
            self._go()

    def abort(self):
        if self.transport is not None:
            self.transport.abort()

    # the session

    def _go(self):
        try:
            self._carry_out()
        except Exception as why:    # a bug, no memory: this client tries again later, the others go on
            errors.say("qmail-smtpd: alert: ", errors.unforeseen(why))
            self.smtp.close(smtp.NO_MEMORY if isinstance(why, MemoryError) else smtp.TROUBLE)
            self._leave()

    def _carry_out(self):
        session = self.smtp
        while self.transport is not None and self._busy_since is None:
            if self._draining and not session.in_message and not session.closed:
                session.close(smtp.ENDING)
            event = session.next_event()
            if event is smtp.NEED_DATA:
                self._send()
                if self._eof:
                    self._leave()
                return
            if event is smtp.FLUSH:
                self._send()
                if self._choked:
                    self._stop_reading()
                    return
            elif event is smtp.CHECK:
                self._busy_since = self.loop.time()
                self._asker.ask(*session.questions(), self._checked)
            elif event is smtp.OPEN:
                self._open()
            elif event is smtp.END:
                if session.refusal:
                    self._flow.fail()
                self._send()
                self._busy_since = self.loop.time()
                self._flow.finish(session.sender, session.recipients, self._answered)
            elif event is smtp.CLOSE:
                self._leave()
                return
            else:
                self._put(event)

    def _open(self):
        try:
            self._flow = Flow(self.loop, self.environ)
        except OSError as why:
            errors.say("qmail-smtpd: warning: unable to open the queue: ", errors.text(why))
            self.smtp.queue_failed()
        else:
            self._put(self.smtp.queue_opened(int(time.time())))

    def _put(self, text):
        if not self._flow.put(text, self._go_on):
            self._send()            # 354 must not wait for a slow queue
            self._busy_since = self.loop.time()
            self._stop_reading()

    def _go_on(self):
        """The queue, or the client, takes more again."""
        self._busy_since, ahead, self._ahead = None, self._ahead, b""
        if self.transport is None:
            return
        if self._stopped:
            self._stopped = False
            self.transport.resume_reading()
        if ahead:
            self.smtp.feed(ahead)
        self._go()

    def _checked(self, answers):
        if self.transport is not None:
            self.smtp.checked(answers)
            self._heard = self.loop.time()
            self._go_on()

    def _answered(self, answer, qp):
        self._flow = None
        if answer.startswith(b"Z") and not self.smtp.refusal:
            errors.say("qmail-smtpd: warning: message not queued: ", answer[1:].decode("ascii", "replace"))
        self.smtp.answered(answer, qp, int(time.time()))
        self._heard = self.loop.time()
        self._go_on()

    def _send(self):
        if self.smtp.replies:
            self.transport.write(bytes(self.smtp.replies))
            self.smtp.replies.clear()

    def _leave(self):
        if self.transport is not None:
            self._send()
            self.transport.close()

    def _stop_reading(self):
        if not self._stopped and self.transport is not None and not self.transport.is_closing():
            self._stopped = True
            self.transport.pause_reading()

    def _timeout_cb(self):
        """qmail's timeout is one for each read or write: look when the client was last heard of."""
        now = self.loop.time()
        if self._busy_since is not None:
            left = self._busy_since + DEATH - now
        else:
            left = self._heard + self._timeout_duration - now
        if left > 0:
            self._timeout_handle = self.loop.call_later(min(left, self._timeout_duration), self._timeout_cb)
        elif self._choked or self.transport.is_closing():
            self.transport.abort()
        else:
            self.smtp.close(smtp.TIMEOUT)
            self._leave()
            self._timeout_handle = self.loop.call_later(self._timeout_duration, self._timeout_cb)
