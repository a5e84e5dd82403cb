"""Handing a message to qmail-queue, for every program of ours that submits mail.

    with Submission() as queue:
        queue.put(b"Subject: hi\\n\\nbody\\n")
        answer = queue.finish(b"sender@a.example", [b"joe@b.example"])
    # b"" accepted; else b"Z…" temporary or b"D…" permanent, without a newline

Where it goes: to the program that QMAILQUEUE names, if set; to bin/qmail-queue, if an administrator
put another program there; else to the queue service over its socket, without another process.
When the service is not there, bin/qmail-queue is executed, which knows what to do without it.
A small message is kept until it is complete and then handed to the service in one packet, envelope and all; of a
larger one so much is gathered each time. To a program it passes through a pipe as it comes, once it is larger.
Protocol of all programs: descriptor 0 message, 1 envelope, 6 error text.
"""
import os

from ..base import child, home, netio
from . import wire

CUSTOM_TEXT = 255                   # bytes read from descriptor 6
AT_ONCE = 50                        # recipients written together
KEPT = 1 << 15                      # bytes of a message that are kept for one packet
KEPT_MAX = 1 << 24                  # of all messages of a process together; beyond it they are handed on at once


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
TRIES = 2                           # connections for one packet
NO_PIPE = 56                        # exit code: trouble making a connection


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
    For callers that wait in an event loop: once it is `opened`, write() and target() are for what keep() and
    hand_over() return; `reply` becomes readable when there is an answer, -1 if wait() has it at once. `qp` is the
    number that the queue's log lines show for this message (0 until it is known).
    """

    kept_by_all = 0                 # bytes

    def __init__(self, environ=None, start=child.start):
        variables = os.environb if environ is None else environ
        program = variables.get(b"QMAILQUEUE")
        self.qp, self.broken, self.text_fd, self._pid, self._service = 0, False, -1, 0, None
        self.message = self.envelope = self.reply = -1          # the ends of pipes to a program, of an answer
        self.opened = self._in_pieces = False
        self._environ, self._start_as, self._kept, self._answer = environ, start, None, None
        if program is not None or not home.ours("qmail-queue"):
            self._open(os.fsencode(home.program("qmail-queue")) if program is None else program)
        else:
            self._kept = bytearray()

    def _open(self, program=None):
        """Connect to the service if no program is named, or start one with pipes. Raises OSError."""
        if program is None:
            self._service = wire.connect()
        if self._service is not None:
            self.reply, self._in_pieces = self._service.fileno(), True
            wire.begin(self._service)
        else:
            self._open_pipes(os.fsencode(home.program("qmail-queue")) if program is None else program)
        self.opened = True

    def _open_pipes(self, program):
        message, self.message = os.pipe()
        try:
            envelope, self.envelope = os.pipe()
        except OSError:
            self._close("message")
            os.close(message)
            raise
        try:
            self._start(program, message, envelope, self._environ, self._start_as)
        except OSError:
            self._close("message")
            self._close("envelope")
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
        self._write_all("message", self.keep(data))

    def _write_all(self, end, data):
        data = memoryview(data)
        try:
            while data and not self.broken:
                data = data[self.write(end, data):]
        except OSError:
            self.broken = True

    def write(self, end, data):
        """Hand on some of `data`, for end "message" or "envelope": the number of bytes. Raises OSError."""
        if self._in_pieces:
            return wire.send_piece(self._service, wire.TEXT if end == "message" else wire.ENVELOPE, data)
        return os.write(getattr(self, end), data)

    def target(self, end):
        """The descriptor that is writable when write() takes more."""
        return self.reply if self._in_pieces else getattr(self, end)

    def unblock(self):
        """write() raises BlockingIOError from now on, and does not wait."""
        for end in ("message", "envelope"):
            os.set_blocking(self.target(end), False)

    def keep(self, data):
        """What is to be written of the message now that these bytes have come: b"" while they are kept."""
        kept = self._kept
        if kept is None or self.opened and not kept and len(data) >= KEPT:
            return data
        kept += data
        Submission.kept_by_all += len(data)
        if len(kept) <= KEPT and Submission.kept_by_all <= KEPT_MAX:
            return b""
        return self._gathered() if self.opened else self._kept_no_more()

    def _gathered(self):
        """Everything kept, to be written now."""
        data, self._kept = bytes(self._kept), bytearray()
        Submission.kept_by_all -= len(data)
        return data

    def _kept_no_more(self):
        """The same, the first time, when there is nobody yet to write it to."""
        data = self._gathered()
        try:
            self._open()
        except OSError:
            self.broken = True
            self._answer = answer(NO_PIPE)
        if not self._in_pieces:
            self._kept = None       # a program gets all as it comes
        return data

    def fail(self):
        """Break off: the envelope will not be completed and nothing gets queued."""
        self.broken = True

    def finish(self, sender, recipients):
        """Complete the envelope and wait for the answer: b"" accepted, else b"Z…" or b"D…".
        After fail(), or when the queue did not take everything, a success counts as read error."""
        self._write_all("message", self.hand_over(sender, recipients))
        self.end("message")
        if self.opened:
            for piece in envelope(sender, recipients):
                self._write_all("envelope", piece)
        self.end("envelope")
        return self.wait()

    def hand_over(self, sender, recipients):
        """The message is complete: hand it over if all of it is kept. Returns what must be written instead."""
        if self._kept is None:
            return b""
        if self.broken:
            self._drop()
            return b""
        if self.opened:
            return self._gathered()
        packet = wire.whole(self._kept, b"".join(envelope(sender, recipients)))
        if packet is not None and self._send(packet):
            self._drop()
            return b""
        return self._kept_no_more()

    def _send(self, packet):
        """Give the service a message in one packet. False if it has not got it."""
        for _ in range(TRIES):
            service = wire.connect()
            if service is None:
                return False
            try:
                service.send(packet)
            except (BrokenPipeError, ConnectionResetError):     # refused, or it ended just now
                code, _ = wire.receive_answer(service)
                service.close()
                if code != wire.LOST:
                    self._answer = answer(code)
                    return True
            except OSError:
                service.close()
                return False
            else:
                self._service, self.reply = service, service.fileno()
                return True
        return False

    def _drop(self):
        if self._kept is not None:
            Submission.kept_by_all -= len(self._kept)
            self._kept = None

    def end(self, end):
        """Nothing more will be written there: "message" or "envelope"."""
        self._close(end)
        if end == "envelope" and self._in_pieces and self.broken:
            try:
                self._service.shutdown(1)       # SHUT_WR: the envelope will not come; but there is an answer
            except OSError:
                pass

    def wait(self):
        """The answer (see finish). Blocks until qmail-queue is done."""
        if self._answer is not None:
            return self._answer
        if self._service is not None:
            code, qp = wire.receive_answer(self._service)
            self.qp, text = qp, b""
            self._service.close()
            self._service = None
        elif self._pid:
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
        else:
            return READ_ERROR       # broken off before anybody heard of it
        if code == 0 and self.broken:
            return READ_ERROR
        return answer(code, text)

    def abandon(self):
        """Let go of everything without waiting for an answer; an unfinished message is not queued."""
        self._drop()
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


