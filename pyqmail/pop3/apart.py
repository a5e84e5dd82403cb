"""The AUTHORIZATION state in a process of its own: no byte of the network is looked at by root."""
from ..base import accounts, child, prot
from . import confined, serve, wire

LIMIT = 2 * (wire.LIMIT + 1)        # bytes: name NUL secret NUL
GONE = b"\0"                        # no login, no QUIT


def authorize(client, stamp):
    """serve.authorize() in a child that is qmaild; what it found out comes through a pipe.

    The parent, root, only takes the frame apart: two fields of bounded length, each ended by NUL.
    Anything else counts as a client who went away (Gone). Raises Temporary, OSError.
    """
    role = accounts.ids("qmaild")
    status, data = child.result_of(lambda: speak(client, stamp, role), LIMIT + 1)
    if status == 0 and not data:
        return None                 # QUIT
    fields = data.split(b"\0")
    if status or len(data) > LIMIT or len(fields) != 3 or fields[2] or not fields[0]:
        raise serve.Gone
    return fields[0], fields[1]


def speak(client, stamp, role):
    """The child's whole life: what it has to tell its parent."""
    prot.become(*role)
    confined.stranger()
    try:
        login = serve.authorize(client, stamp)
    except serve.Gone:
        return GONE
    return b"%b\0%b\0" % login if login else b""
