"""Messages as bytes: header fields first, then the body, from a descriptor or any other source.

A message is read once and in pieces; only its header is ever held. Line ends are single LF.
A field is `name:contents` with its continuation lines (those starting with a blank or tab). The
header ends at an empty line, at the end of the message, or at the first line that is no field, which
then is body. A "From " line (mbox) among the fields becomes the field MBOX-Line.
Source: qmail-header(5), RFC 5322 section 2.2, notqmail as recorded.
"""
from .errors import Permanent

HEADER_LIMIT = 1 << 24      # bytes of header that are kept; a longer one is refused
NAME_LIMIT = 1 << 16        # a line without newline so far that is no field by here is body
BLANK = b" \t"
MBOX_LINE = b"MBOX-Line: "

# RFC 5322 3.6.8:  ftext = %d33-57 / %d59-126
FTEXT = bytes(byte for byte in range(33, 127) if byte != ord(":"))


class HeaderTooLong(Permanent):
    """The header is longer than the limit."""


def name(field):
    """The name of a field in lower case; b"" if the line is no field.
    Blanks may stand between the name and its colon."""
    before, colon, _ = field.partition(b":")
    before = before.rstrip(BLANK)
    return before.lower() if colon and not before.translate(None, FTEXT) else b""


def contents(field):
    """What follows the colon, without the white space at its start; line ends are kept."""
    return field.partition(b":")[2].lstrip(b" \t\r\n")


class Message:
    """A message that is being read. `read` gives the next bytes, b"" at the end.

    Take all of fields() first, then body(). What `read` raises passes through.
    """

    def __init__(self, read, limit=HEADER_LIMIT):
        self._read, self._left = read, limit
        self._data, self._at = b"", 0       # bytes read; those before _at are used up
        self._start = []                    # the body's first lines, read with the header

    def fields(self):
        """Every header field, with newlines. A missing last newline is put in.
        Raises HeaderTooLong."""
        field = []
        while line := self._line(bool(field)):
            if field and line[:1] in BLANK:
                field.append(line)
                continue
            if field:
                yield b"".join(field)
                field = []
            if line == b"\n":
                self._start = [line]
                return
            if line.startswith(b"From "):
                field = [MBOX_LINE, line]
            elif name(line):
                field = [line]
            else:
                self._start = [b"\n", line]
                return
        if field:
            yield b"".join(field)

    def body(self):
        """The rest in pieces: the empty line (put in where the header ended without one), then the
        text. Nothing at all if the message ended with its header. The last byte is a newline."""
        last = b"\n"
        for piece in (*self._start, self._data[self._at:]):
            if piece:
                yield piece
                last = piece[-1:]
        while piece := self._read():
            yield piece
            last = piece[-1:]
        if last != b"\n":
            yield b"\n"

    def _line(self, continues):
        """The next line of the header with its newline; b"" at the end of the message. May be the
        start of a line only if that can be no field. continues: there is a field it may belong to."""
        cut = self._data.find(b"\n", self._at) + 1
        if cut:
            line, self._at = self._data[self._at:cut], cut
            self._count(len(line))
            return line
        pieces, length, decided = [self._data[self._at:]], len(self._data) - self._at, False
        self._data, self._at = b"", 0
        while data := self._read():
            cut = data.find(b"\n") + 1
            if cut:
                pieces.append(data[:cut])
                self._data, self._at = data, cut
                break
            pieces.append(data)
            length += len(data)
            if length > NAME_LIMIT and not decided:
                pieces, decided = [b"".join(pieces)], True
                if not may_be_field(pieces[0], continues):
                    return pieces[0]
            if length > self._left:
                break
        else:
            self._read = no_more            # a terminal would be asked for a second end of file
            if any(pieces):
                pieces.append(b"\n")
        line = b"".join(pieces)
        self._count(len(line))
        return line

    def _count(self, length):
        self._left -= length
        if self._left < 0:
            raise HeaderTooLong("message header too long")


def no_more():
    return b""


def may_be_field(start, continues):
    """True if a line that starts like this can belong to the header, however it goes on."""
    return bool(name(start)) or start.startswith(b"From ") or (continues and start[:1] in BLANK)
