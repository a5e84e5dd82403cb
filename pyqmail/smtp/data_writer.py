"""The text of a message on its way out (RFC 5321 4.1.1.4, 4.5.2): any bytes in, strict lines out.

LF, CR LF and a CR by itself all end a line and go out as CR LF, so no bare CR or LF ever leaves; a
line *sent* that starts with a dot gets another one, whatever ended the line before it. (qmail 1.03
looks for dots only after LF: a message with CR "." LF could end DATA early and speak SMTP to the
server. Fixed here.) All other bytes, NUL and 8-bit ones too, go out as they are; lines have any length.
"""
END = b".\r\n"


class PartialLine(Exception):
    """The message does not end with a line end: SMTP has no way to say that."""


class DataWriter:
    """feed(block) gives the bytes to send, finish() the last of them. Memory: the block being fed."""

    def __init__(self):
        self._held = b""            # a CR at the end of a block: the LF after it may be in the next
        self._line_start = True

    def feed(self, block):
        """Bytes to send for the next piece of the message; b"" if it takes more to know."""
        text = self._held + block if self._held else block
        self._held = b""
        if text.endswith(b"\r"):
            text, self._held = text[:-1], b"\r"
        if not text:
            return b""
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        stuffed = text.replace(b"\n.", b"\n..")
        if self._line_start and text.startswith(b"."):
            stuffed = b"." + stuffed
        self._line_start = text.endswith(b"\n")
        return stuffed.replace(b"\n", b"\r\n")

    def finish(self):
        """Bytes to send at the end of the message, the final dot included. Raises PartialLine."""
        rest = b"\r\n" if self._held else b""
        if not rest and not self._line_start:
            raise PartialLine
        return rest + END
