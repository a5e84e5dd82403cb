"""POP3 on the wire: commands in, message text out. No descriptors here.

RFC 1939 3: a command is a keyword of any case, optionally a space and arguments, ended by CRLF;
a bare LF ends it too, as qmail takes it. Blanks in front of the argument are dropped, inner and
trailing ones belong to it. A NUL ends a line's contents.
"""
LIMIT = 4096                        # bytes of a command line; RFC 2449 4 asks for 255
TOO_LONG = object()                 # in place of a command: the line went beyond LIMIT and was skipped

END = b"\r\n.\r\n"                  # qmail ends every text with an empty line of its own


class CommandReader:
    """Bytes in, (keyword in lower case, argument) out; memory stays below LIMIT plus one feed."""

    def __init__(self):
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data):
        self._buffer += data

    def __iter__(self):
        """The commands that are complete; TOO_LONG once for each line that is longer than LIMIT."""
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > LIMIT:
                    self._skipping = True
                if self._skipping:
                    self._buffer.clear()
                return
            line = bytes(self._buffer[:end])
            del self._buffer[:end + 1]
            if self._skipping or end > LIMIT:
                self._skipping = False
                yield TOO_LONG
            else:
                yield command(line)


def command(line):
    """A line without its LF as (keyword in lower case, argument)."""
    line = line.removesuffix(b"\r").partition(b"\0")[0]
    keyword, _, argument = line.partition(b" ")
    return keyword.lower(), argument.lstrip(b" ")


def top(blocks, lines):
    """The header of a message with its empty line, and the first `lines` lines of its body.

    blocks: the message in pieces, lines ended by LF, before transparency(); so is the result.
    """
    fresh, body = True, False       # fresh: the next byte starts a line
    for block in blocks:
        start = 0
        if not body:
            start = _body(block, fresh)
            if start is None:
                fresh = block.endswith(b"\n")
                yield block
                continue
            body = True
        count = block.count(b"\n", start)
        if count >= lines:
            yield block[:_after(block, start, lines)]
            return
        lines -= count
        yield block


def _body(block, fresh):
    """Where the body starts in a block of the header; None if it does not. fresh: it starts with a line."""
    if fresh and block.startswith(b"\n"):
        return 1
    end = block.find(b"\n\n")
    return None if end < 0 else end + 2


def _after(block, start, lines):
    """The position after the lines-th LF at or after start."""
    for _ in range(lines):
        start = block.index(b"\n", start) + 1
    return start


def transparency(blocks):
    """A message in pieces, lines ended by LF, as POP3 sends it (RFC 1939 3), END included.

    Every LF becomes CRLF, a "." that starts a line is doubled, a partial last line is completed.
    All other bytes pass, CR too: only "LF . LF" in the message could look like the end, and there
    the dot is doubled.
    """
    fresh = True
    for block in blocks:
        if not block:
            continue
        if fresh and block.startswith(b"."):
            yield b"."
        fresh = block.endswith(b"\n")
        yield block.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
    yield END if fresh else b"\r\n" + END
