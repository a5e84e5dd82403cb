"""Handing a message to qmail-queue, for every program of ours that submits mail.

    with Submission() as queue:
        queue.put(b"Subject: hi\\n\\nbody\\n")
        answer = queue.finish(b"sender@a.example", [b"joe@b.example"])
    # b"" accepted; else b"Z…" temporary or b"D…" permanent, without a newline

Where it goes: to the program that QMAILQUEUE names, if set; to bin/qmail-queue, if an administrator
put another program there; else to the queue service over its socket, without another process.
When the service is not there, bin/qmail-queue is executed, which knows what to do without it.
Protocol of all programs: descriptor 0 message, 1 envelope, 6 error text (programs only).
"""
import os

from ..base import child, home, netio
from . import wire

CUSTOM_TEXT = 255                   # bytes read from descriptor 6
AT_ONCE = 50                        # recipients written together


def answer(code, text=b""):
    """What a qmail-queue exit code means: b"" for success, else b"Z…" or b"D…".
    code: exit code, negative for a signal. text: what came on descriptor 6, counts with 82."""
    if code == 82 and len(text) > 2:
        return text.partition(b"\0")[0]
    if code < 0:
        return b"Zqq crashed (#4.3.0)"
    if code in ANSWERS:
        return ANSWERS[code]
    if 11 <= code <= 40:
        return b"Dqq permanent problem (#5.3.0)"
    return b"Zqq temporary problem (#4.3.0)"


ANSWERS = {
    0: b"",
    11: b"Denvelope address too long for qq (#5.1.3)",
    115: b"Denvelope address too long for qq (#5.1.3)",
    31: b"Dmail server permanently rejected message (#5.3.0)",
    51: b"Zqq out of memory (#4.3.0)",
    52: b"Zqq timeout (#4.3.0)",
    53: b"Zqq write error or disk full (#4.3.0)",
    54: b"Zqq read error (#4.3.0)",
    55: b"Zqq unable to read configuration (#4.3.0)",
    56: b"Zqq trouble making network connection (#4.3.0)",
    61: b"Zqq trouble in home directory (#4.3.0)",
    **dict.fromkeys(range(62, 67), b"Zqq trouble creating files in queue (#4.3.0)"),
    71: b"Zmail server temporarily rejected message (#4.3.0)",
    72: b"Zconnection to mail server timed out (#4.4.1)",
    73: b"Zconnection to mail server rejected (#4.4.1)",
    74: b"Zcommunication with mail server failed (#4.4.2)",
    81: b"Zqq internal bug (#4.3.0)",
    91: b"Zqq internal bug (#4.3.0)",
    120: b"Zunable to exec qq (#4.3.0)",
}
READ_ERROR = ANSWERS[54]


def envelope(sender, recipients):
    """What qmail-queue reads from descriptor 1, in pieces; recipients: a list."""
    yield b"F%b\0" % sender
    for start in range(0, len(recipients), AT_ONCE):
        yield b"".join([b"T%b\0" % recipient for recipient in recipients[start:start + AT_ONCE]])
    yield b"\0"


class Submission:
    """One message on its way into the queue. Raises OSError from the constructor only (no pipes, no
    fork); everything later shows in the answer.

    start: how a program is started, if one must be: child.start, or child.spawn in a program with threads.
    `message` is the writing end of the message pipe and `reply` a descriptor that becomes readable
    when there is an answer: for callers that wait in an event loop. `qp` is the number that the
    queue's log lines show for this message (0 until it is known).
    """

    def __init__(self, environ=None, start=child.start):
        variables = os.environb if environ is None else environ
        program = variables.get(b"QMAILQUEUE")
        self.qp, self.broken, self.text_fd, self._pid, self._service = 0, False, -1, 0, None
        message, self.message = os.pipe()
        try:
            envelope, self.envelope = os.pipe()
        except OSError:
            netio.close_quietly(message, self.message)
            raise
        try:
            if program is None and home.ours("qmail-queue"):
                self._service = wire.connect()
            if self._service is not None:
                wire.send_request(self._service, message, envelope)
                self.reply = self._service.fileno()
            else:
                self._start(os.fsencode(home.program("qmail-queue")) if program is None else program,
                            message, envelope, environ, start)
        except OSError:
            netio.close_quietly(self.message, self.envelope)
            raise
        finally:
            os.close(message)
            os.close(envelope)

    def _start(self, program, message, envelope, environ, start):
        text, write_text = os.pipe()
        try:
            # Python executes nothing without an argv[0], not even the empty name that cannot be run anyway.
            self._pid = self.qp = start(program, [program or b" "], {0: message, 1: envelope, 6: write_text},
                                        cwd=home.HOME, env=environ)
        except OSError:
            os.close(text)
            raise
        finally:
            os.close(write_text)
        self.text_fd = self.reply = text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.abandon()

    def put(self, data):
        """Add bytes of the message; blocks while the queue is slower than we are."""
        if not self.broken:
            try:
                netio.write_all(self.message, data)
            except OSError:
                self.broken = True

    def fail(self):
        """Break off: the envelope will not be completed and nothing gets queued."""
        self.broken = True

    def finish(self, sender, recipients):
        """Complete the envelope and wait for the answer: b"" accepted, else b"Z…" or b"D…".
        After fail(), or when the queue did not take everything, a success counts as read error."""
        self.send_envelope(sender, recipients)
        return self.wait()

    def send_envelope(self, sender, recipients):
        """End the message and write the envelope; the answer is then on its way."""
        self._close("message")
        if not self.broken:
            try:
                for piece in envelope(sender, recipients):
                    netio.write_all(self.envelope, piece)
            except OSError:
                self.broken = True
        self._close("envelope")

    def wait(self):
        """The answer (see finish). Blocks until qmail-queue is done."""
        if self._service is not None:
            code, qp = wire.receive_answer(self._service)
            self.qp, text = qp, b""
            self._service.close()
            self._service = None
        else:
            text = b""
            try:
                while len(text) < CUSTOM_TEXT and (piece := os.read(self.text_fd, CUSTOM_TEXT - len(text))):
                    text += piece
            except OSError:
                pass
            self._close("text_fd")
            try:
                code, self._pid = child.wait(self._pid), 0
            except OSError:
                return b"Zqq waitpid surprise (#4.3.0)"
        if code == 0 and self.broken:
            return READ_ERROR
        return answer(code, text)

    def abandon(self):
        """Let go of everything without waiting for an answer; an unfinished message is not queued."""
        self._close("message")
        self._close("envelope")
        if self._service is not None:
            self._service.close()
            self._service = None
        if self._pid:
            self._close("text_fd")
            child.wait(self._pid)
            self._pid = 0

    def _close(self, name):
        fd = getattr(self, name)
        if fd >= 0:
            setattr(self, name, -1)
            netio.close_quietly(fd)


