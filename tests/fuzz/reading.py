"""How a target reads its input: a few bytes say how, the rest is what a stranger sends."""


class Input:
    """The bytes of one run, taken from their start. What is not there reads as 0, or as nothing."""

    def __init__(self, data):
        self._data, self._at = bytes(data), 0

    def byte(self):
        piece = self._data[self._at:self._at + 1]
        self._at += 1
        return piece[0] if piece else 0

    def flag(self):
        return bool(self.byte() & 1)

    def line(self):
        """Up to the next LF, which is dropped."""
        end = self._data.find(b"\n", self._at)
        piece = self._data[self._at:] if end < 0 else self._data[self._at:end]
        self._at += len(piece) + 1
        return piece

    def rest(self):
        piece, self._at = self._data[self._at:], len(self._data)
        return piece


def pieces(data, seed):
    """`data` as a network may deliver it. seed: 0 in one piece, 1 byte by byte, others: the sizes are made of it."""
    if seed == 0:
        return [data] if data else []
    if seed == 1:
        return [data[at:at + 1] for at in range(len(data))]
    found, at, state = [], 0, seed
    while at < len(data):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        size = 1 + (state >> 16) % (4 if seed % 3 == 0 else 40 if seed % 3 == 1 else 700)
        found.append(data[at:at + size])
        at += size
    return found
