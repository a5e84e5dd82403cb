"""Netstrings: a length in decimal, ":", so many bytes, ",".

A sender may announce anything. What is believed: a length of at most nine digits (leading zeros apart), and
inside of another netstring no more than that one has left. Nothing is set aside for an announced length:
long texts are passed on in the pieces in which they come.
Source: cr.yp.to/proto/netstrings.txt; qmail-qmtpd and qmail-qmqpd as recorded.
"""
NEED_DATA = "need data"
LONGEST = 999_999_999               # bytes of a netstring
SUSPECT = 200_000_000               # qmail's limit: a length beyond it takes no further digit
ZEROS = 1000                        # characters of a length


class BadSyntax(Exception):
    """The peer does not speak this protocol."""


class TooLong(Exception):
    """A netstring longer than anybody here wants to handle."""


def netstring(data):
    return b"%d:%b," % (len(data), data)


class Input:
    """The bytes that came, taken apart in order.

    feed() adds bytes. byte(), length(), comma(), take() and skip() are generators for `yield from`: they
    yield NEED_DATA while bytes are missing and return their result. Raises BadSyntax, TooLong.
    `left`: how many bytes may still be taken, None for any number; one more is BadSyntax.
    """

    def __init__(self, left=None):
        self._data, self._at, self.left = b"", 0, left

    def feed(self, data):
        self._data, self._at = self._data[self._at:] + data, 0

    def some(self, most):
        """Up to `most` bytes of those that are there; b"" if there are none."""
        if self.left is not None:
            if most and not self.left:
                raise BadSyntax
            most = min(most, self.left)
        piece = self._data[self._at:self._at + most]
        self._at += len(piece)
        if self.left is not None:
            self.left -= len(piece)
        return piece

    def byte(self):
        while not (piece := self.some(1)):
            yield NEED_DATA
        return piece

    def length(self):
        """The number before a colon; none at all counts as 0."""
        number = 0
        for _ in range(ZEROS):
            char = yield from self.byte()
            if char == b":":
                return number
            if number > SUSPECT:
                raise TooLong
            if not char.isdigit():
                raise BadSyntax
            number = 10 * number + int(char)
            if number > LONGEST:
                raise TooLong
        raise TooLong

    def comma(self):
        char = yield from self.byte()
        if char != b",":
            raise BadSyntax

    def take(self, count):
        """Exactly `count` bytes, which should not be many."""
        pieces = []
        while count:
            if piece := self.some(count):
                count -= len(piece)
                pieces.append(piece)
            else:
                yield NEED_DATA
        return b"".join(pieces)

    def skip(self, count):
        """Take `count` bytes and forget them."""
        while count:
            if piece := self.some(count):
                count -= len(piece)
            else:
                yield NEED_DATA
