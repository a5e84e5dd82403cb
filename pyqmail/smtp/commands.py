"""SMTP command lines: bytes in, (verb, argument) out.

A line ends in LF; one CR before it is not part of it. A NUL ends what is looked at. The verb is
what stands before the first blank, the argument what follows the blanks. Source: qmail-smtpd and
qmail-popup as recorded (RFC 5321 4.1.1 wants CRLF; old clients do not know that).
"""
LIMIT = 4096                        # bytes of a line without its end; RFC 5321 4.5.3.1.4 asks for 512


class CommandReader:
    """Holds at most LIMIT bytes more than one feed."""

    def __init__(self):
        self._buffer, self._at, self._cut = b"", 0, None

    def feed(self, data):
        self._buffer = self._buffer[self._at:] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next_command(self):
        """(verb in lower case, argument), None when more bytes are needed. The argument is None for a line
        that was too long: its end has been found, the next line is a command again."""
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            if len(self._buffer) - self._at > LIMIT + 1 or self._cut is not None:
                self._cut = self._cut or self._buffer[self._at:self._at + LIMIT]
                self._buffer, self._at = b"", 0
            return None
        line, self._at = self._buffer[self._at:end], end + 1
        too_long = self._cut is not None
        if too_long:
            line, self._cut = self._cut, None
        elif line.endswith(b"\r"):
            line = line[:-1]
        verb, argument = split(line)
        return verb, None if too_long or len(line) > LIMIT else argument

    def has_more(self):
        """True if bytes were fed beyond the last command."""
        return self._at < len(self._buffer)

    def take_rest(self):
        """All bytes that were fed and not used: they are no commands."""
        rest, self._buffer, self._at = self._buffer[self._at:], b"", 0
        return rest


def split(line):
    """(verb in lower case, argument) of a line without its end."""
    verb, _, argument = line.partition(b"\0")[0].partition(b" ")
    return verb.lower(), argument.lstrip(b" ")
