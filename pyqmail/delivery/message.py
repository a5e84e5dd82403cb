"""The message being delivered: read from its descriptor as often as it takes, in bounded memory."""
import os

FIRST = 1 << 16                     # bytes; a message up to this size is read once for all its deliveries
PIECE = 1 << 18


class Unreadable(Exception):
    """The message could not be read; `why` is the OSError."""

    def __init__(self, why):
        super().__init__(str(why))
        self.why = why


class Message:
    """Reads by position (pread): commands share the open file, and one left behind in the background
    may move its offset at any time. Only commands need rewind()."""

    __slots__ = ("fd", "_head", "_complete", "_size")

    def __init__(self, fd):
        self.fd, self._head, self._complete, self._size = fd, None, False, None

    def rewind(self):
        """Put the descriptor's own offset to the start. Raises OSError, for a pipe for instance."""
        os.lseek(self.fd, 0, os.SEEK_SET)

    def size(self):
        """How many bytes it has: it is complete, and nobody changes it. Raises Unreadable."""
        if self._size is None:
            try:
                self._size = os.fstat(self.fd).st_size
            except OSError as why:
                raise Unreadable(why) from why
        return self._size

    def pieces(self, start=b""):
        """Every byte of `start` and the message, from its beginning, in pieces. Raises Unreadable."""
        if self._head is None:
            self._head = self._read(FIRST, 0)
            self._complete = len(self._head) < FIRST and not self._read(1, len(self._head))
        yield start + self._head
        at = len(self._head)
        while not self._complete:
            piece = self._read(PIECE, at)
            if not piece:
                return
            yield piece
            at += len(piece)

    def after(self, start):
        """`start` and the message as an iterable that can be gone through again and again."""
        return Text(self, start)

    def _read(self, size, at):
        try:
            return os.pread(self.fd, size, at)
        except OSError as why:
            raise Unreadable(why) from why


class Text:
    """See Message.after()."""

    __slots__ = ("_message", "_start")

    def __init__(self, message, start):
        self._message, self._start = message, start

    def __iter__(self):
        return self._message.pieces(self._start)
