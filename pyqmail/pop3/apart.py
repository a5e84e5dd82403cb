"""The AUTHORIZATION state in a process of its own: no byte of the network is looked at by root."""
import os

from ..base import accounts, errors, netio, prot
from . import serve, wire

LIMIT = 2 * (wire.LIMIT + 1)        # bytes: name NUL secret NUL


def authorize(client, stamp):
    """serve.authorize() in a child that is qmaild; what it found out comes through a pipe.

    The parent, root, only takes the frame apart: two fields of bounded length, each ended by NUL.
    Anything else counts as a client who went away (Gone). Raises Temporary, OSError.
    """
    role = accounts.ids("qmaild")
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        speak(client, stamp, role, writer)
    os.close(writer)
    try:
        data = netio.read_all(reader, LIMIT + 1)
    finally:
        os.close(reader)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0 and not data:
        return None                 # QUIT
    fields = data.split(b"\0")
    if status or len(data) > LIMIT or len(fields) != 3 or fields[2] or not fields[0]:
        raise serve.Gone
    return fields[0], fields[1]


def speak(client, stamp, role, writer):
    """The child's whole life."""
    status = 1
    try:
        prot.become(*role)
        login = serve.authorize(client, stamp)
        if login:
            netio.write_all(writer, b"%s\0%s\0" % login)
        status = 0
    except serve.Gone:
        pass
    except Exception as why:        # the parent sees the status; the reason is said here
        errors.say("alert: qmail-popup: ", repr(why), errors.where(why))
    finally:
        os._exit(status)
