"""qmail-send's log: its lines, and how they get out.

A line is whole or not there. Lines are collected and written once a turn; when the reader of the log
stops reading, qmail-send stops too, rather than lose one. Source: qmail-log(5), recorded logs.
"""
from ..base import netio

SAFE = bytes(byte if 33 <= byte <= 126 and byte != ord("%") else ord("/") if byte == 10 else ord("_")
             for byte in range(256))
HELD = 1 << 16                      # bytes; beyond it lines are written at once


class Log:
    def __init__(self, fd=0):
        self._fd, self._lines, self._size = fd, [], 0

    def say(self, line):
        """Take one line, without its newline."""
        self._lines.append(line)
        self._size += len(line)
        if self._size > HELD:
            self.flush()

    def flush(self):
        """Write what was taken; blocks as long as the log's reader does."""
        if self._lines:
            lines, self._lines, self._size = self._lines, [], 0
            lines.append(b"")
            try:
                netio.write_all(self._fd, b"\n".join(lines))
            except OSError:
                pass                # nobody reads the log any more: there is no one to tell


def safe(text):
    """Text from strangers on one line of the log: newline as "/", what is not printable, and "%", as "_"."""
    return text.translate(SAFE)


def status(channels, ending):
    """channels: (name, running, limit) of each."""
    return b"status:%b%b" % (b"".join(b" %b %d/%d" % counts for counts in channels), b" exitasap" if ending else b"")


def new_msg(number):
    return b"new msg %d" % number


def info_msg(number, size, sender, qp, uid):
    return b"info msg %d: bytes %d from <%b> qp %d uid %d" % (number, size, safe(sender), qp, uid)


def starting(delivery, number, channel, recipient):
    return b"starting delivery %d: msg %d to %b %b" % (delivery, number, channel, safe(recipient))


def outcome(delivery, word, text):
    """word: success, failure or deferral."""
    return b"delivery %d: %b: %b" % (delivery, word, safe(text))


def mangled(delivery):
    return b"delivery %d: report mangled, will defer" % delivery


def bounced(number, qp):
    return b"bounce msg %d qp %d" % (number, qp)


def ended(number):
    return b"end msg %d" % number


def warning(what, path="", rest=""):
    """b"warning: unable to stat info/12/1001; will try again later" from its three parts."""
    return f"warning: {what}{' ' if path else ''}{path}{rest}".encode()


LATER = "; will try again later"
