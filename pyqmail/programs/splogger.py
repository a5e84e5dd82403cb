"""splogger: make entries in syslog.

    splogger [TAG [FACILITY]]               lines on descriptor 0
    splogger --several FD TAG [FD TAG …]    lines on each FD, in one process

Sends each line to /dev/log as TAG (default "splogger") with the facility of that number (default 2,
mail), preceded by the time as seconds.microseconds. Lines starting with "alert:" or "warning:" get
that priority, others info. Lines longer than 799 bytes come in pieces, each after the first marked
with "+"; unprintable bytes become "?"; empty lines are left out. A last line without newline is
logged too. Ends with exit code 0 at the end of input. Lines that syslogd does not take, while it is
being restarted, are counted, and the count is logged.

**Security**: runs as qmaill, confined to /dev/log; reads what other programs log, which may quote strangers: nothing of
it reaches syslog but printable ASCII.
Source: splogger(8).
"""
import time

import _socket                      # the module `socket` costs 6 ms at start

from ..base import errors, feeds, limits, number, sandbox, syslog

TIME_ZONES = ("/etc", "/usr/share/zoneinfo")
PIECE = 799                         # bytes; some syslogds cut what is longer
PRINTABLE = bytes(byte if 32 <= byte <= 126 else 63 for byte in range(256))
PRIORITIES = ((b"warning:", syslog.WARNING), (b"alert:", syslog.ALERT))


class Lines:
    """Bytes in, pieces of lines out as (text, continued); holds back less than a piece."""

    def __init__(self):
        self._held = b""
        self._continued = False

    def feed(self, data):
        *ended, rest = (self._held + data).split(b"\n")
        for line in ended:
            yield from self._pieces(line, 0)
            self._continued = False
        self._held = yield from self._pieces(rest, PIECE)

    def end(self):
        yield from self._pieces(self._held, 0)
        self._held = b""

    def _pieces(self, line, keep):
        """The pieces of a line as long as more than `keep` bytes are there; returns the rest."""
        while len(line) > keep:
            yield line[:PIECE].translate(PRINTABLE), self._continued
            line, self._continued = line[PIECE:], True
        return line


class Source:
    """The log of one program."""

    def __init__(self, tag, facility=syslog.MAIL):
        self._log, self._lines = syslog.Syslog(tag, facility), Lines()
        self._stamp, self._priority = b"", syslog.INFO

    def take(self, data):
        """Send the lines that are complete now. data: what was read, b"" at the end."""
        for text, continued in self._lines.feed(data) if data else self._lines.end():
            if not continued:
                now = time.time_ns() // 1000
                self._stamp = b"%d.%06d" % divmod(now, 1_000_000)
                self._priority = next((value for start, value in PRIORITIES if text.startswith(start)), syslog.INFO)
            self._log.send(self._priority, self._stamp + (b"+" if continued else b" ") + text)


def main(argv):
    if argv[:1] == [feeds.SEVERAL]:
        tags = feeds.sources(argv)
        if tags is None:
            errors.say("splogger: usage: splogger [tag [facility]]")
            return errors.PERMANENT
        logs = {fd: Source(tag) for fd, tag in tags.items()}
    else:
        tag = argv[0] if argv else b"splogger"
        facility = number.leading(argv[1])[0] or 0 if len(argv) > 1 else syslog.MAIL
        logs = {0: Source(tag, facility)}
    confine()
    for fd, data in feeds.arriving(logs):
        logs[fd].take(data)
    return 0


def confine():
    """Nothing from here on but the time of day and sockets to syslogd."""
    limits.enter("splogger")
    sandbox.enter(sandbox.Files(read=TIME_ZONES), sockets=(_socket.AF_UNIX,))
