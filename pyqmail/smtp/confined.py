"""What a process may still do that carries mail to other servers: qmail-rspawn's worker, and qmail-remote by itself."""
from _socket import AF_INET, AF_INET6               # the module `socket` costs 6 ms at start

from ..base import dns, errors, home, ipme, limits, sandbox
from . import tcpto


def confined(program, *read):
    """Be confined from here on, with the limits of `program`: a sandbox.Confined. Control files can be read, what says
    where mail goes and who we are, and `read`; tcpto is written; connections are made. Raises OSError."""
    try:
        ipme.addresses()            # keeps open what tells our addresses
    except (errors.Temporary, OSError):
        pass                        # each delivery says so
    limits.enter(program)
    files = {"read": (*read, "/etc", home.path("bin"), *dns.PLACES), "change": (tcpto.path(),)}
    return sandbox.Confined(files, links=(dns.RESOLV_CONF,), sockets=(AF_INET, AF_INET6), tcp=True)
