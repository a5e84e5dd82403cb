"""From the process that talked to the client to the one that checks his password: both ends.

One packet a login (base/passing.py): name NUL secret NUL timestamp NUL, as a checker reads it, with the client's
connection.
"""
from ..base import passing
from ..base.passing import pair, send       # noqa: F401  the sending end needs nothing else
from . import wire

LIMIT = 2 * (wire.LIMIT + 1) + 512      # bytes of a packet; the timestamp holds a host name


def receive(sock):
    """(connection, name, secret, stamp); None for what is no login, its descriptors closed.

    Raises EOFError when there is no sender any more, BlockingIOError, OSError.
    """
    taken = passing.receive(sock, LIMIT)
    if taken is None:
        return None
    connection, data = taken
    fields = data.split(b"\0")
    if len(fields) == 4 and not fields[3]:
        return connection, *fields[:3]
    connection.close()
    return None
