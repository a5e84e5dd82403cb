"""Lines for a logger: from descriptor 0, or from several descriptors at once.

    PROGRAM WORD …                      one log, read from descriptor 0
    PROGRAM --several FD WORD FD WORD …     one log for each pair

Each Python process costs 3 MB that it shares with nobody, so the logs of several services are kept by one.
"""
import os
import select

from . import number

SEVERAL = b"--several"
PIECE = 65536                       # bytes read at once


def sources(argv):
    """{descriptor: word} of a command line that begins with SEVERAL; None if it makes no sense."""
    words = argv[1:]
    if not words or len(words) % 2:
        return None
    pairs = [(number.leading(fd), word) for fd, word in zip(words[::2], words[1::2])]
    if any(fd is None or rest or not word for (fd, rest), word in pairs):
        return None
    found = {fd: word for (fd, _), word in pairs}
    return found if len(found) == len(pairs) else None


def arriving(fds):
    """(fd, data) of what comes on these descriptors, and (fd, b"") at the end of each; over when all have ended.
    Raises OSError."""
    waiting = select.poll()
    for fd in fds:
        waiting.register(fd, select.POLLIN)
    left = len(fds)
    while left:
        for fd, _ in waiting.poll():
            data = os.read(fd, PIECE)
            if not data:
                waiting.unregister(fd)
                left -= 1
            yield fd, data
