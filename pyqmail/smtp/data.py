"""The text after DATA: where it ends, what it says, how often it has been here.

RFC 5321 4.1.1.4 and 4.5.2. Only CRLF.CRLF ends the text. A CR or LF that is not part of a CRLF is
refused, wherever it stands: systems that read them differently have been made to see different
messages ("SMTP smuggling"). All other bytes, NUL among them, and lines of any length are allowed.
"""
END_OF_DATA = b"\r\n.\r\n"
LOOPING = 100                       # Received and Delivered lines in a header


class StrayNewline(Exception):
    """A CR or LF outside CRLF."""


class DataReader:
    """Bytes in, text with LF line ends out. Holds no more than one feed and four bytes."""

    def __init__(self):
        self._held = b"\r\n"        # as if a CRLF stood before the first line
        self._first, self.over, self.hops = True, False, Hops()

    def feed(self, data):
        self._held += data

    def next_text(self):
        """Some text; b"" when more bytes are needed, or when it is `over`. Raises StrayNewline."""
        if self.over:
            return b""
        held = self._held
        cut = held.find(END_OF_DATA)
        if cut >= 0:
            text, self._held, self.over = held[:cut + 2], held[cut + 5:], True
        else:                       # hold back what may be the start of the end
            keep = 0
            for length in (4, 3, 2, 1):
                if held.endswith(END_OF_DATA[:length]):
                    keep = length
                    break
            text, self._held = held[:len(held) - keep], held[len(held) - keep:]
        if not text:
            return b""
        if not text.count(b"\r") == text.count(b"\n") == text.count(b"\r\n"):
            raise StrayNewline
        self.hops.feed(text)
        text = text.replace(b"\r\n.", b"\r\n").replace(b"\r\n", b"\n")
        if self._first:
            text, self._first = text[1:], False
        return text

    def take_rest(self):
        """What was fed beyond the end: the next commands."""
        rest, self._held = self._held, b""
        return rest


class Hops:
    """Counts header lines that start with "received" or "delivered", in any letter case. The first empty
    line ends the header. Fed with lines that each have a CRLF in front; no piece may end in a CR."""

    WORDS = (b"\r\nreceived", b"\r\ndelivered")
    DECIDED = max(map(len, WORDS))  # bytes from a CRLF on that tell what its line is

    def __init__(self):
        self.count, self._start, self._in_header = 0, b"", True

    def feed(self, text):
        if not self._in_header:
            return
        text = self._start + text
        end = text.find(b"\r\n\r\n")
        if end >= 0:
            self._in_header, self._start = False, b""
            text = text[:end]
        else:
            last = text.rfind(b"\r\n")
            undecided = last >= 0 and len(text) - last < self.DECIDED
            self._start = text[last:] if undecided else b""
            text = text[:last] if undecided else text
        text = text.lower()
        self.count += sum(text.count(word) for word in self.WORDS)
