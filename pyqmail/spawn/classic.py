"""A delivery by bin/qmail-local as a program of its own, and bin/qmail-getpw likewise: as qmail does it.

Used when an administrator has put other programs in their place, and for what no warm process takes.

**Security**: in a process forked for this one delivery, which is root until it knows the user. It parses
nothing but the fields that say who the user is.
Source: qmail-lspawn(8).
"""
import errno
import os

from ..base import child, home, netio, prot
from ..delivery import copies
from ..users import lookup
from ..users.codes import BUG, EXECUTE_LATER, EXECUTE_NEVER, MEMORY, NO_GETPW, SYSTEM, Undecided
from . import hearing

MESSAGE, OUTPUT = 3, 4              # descriptors of the process until the program has them as 0, 1 and 2
ANSWER_MAX = 1 << 20                # bytes of qmail-getpw's answer


def deliver(loop, message, ended, arguments):
    """Fork and execute bin/qmail-local; ended(status, text) is called when it has ended and everybody has closed its
    output. The descriptor may be closed at once. arguments: keyword arguments of become_local. Raises NoPipe, OSError:
    no fork."""
    heard = hearing.Hearing(loop)
    try:
        loop.fork(lambda: become_local(**arguments), {2: 2, MESSAGE: message, OUTPUT: heard.writer},
                  lambda status: heard.end(lambda text: ended(status, text)))
    except OSError:
        heard.close()
        raise
    finally:
        heard.handed_on()


def become_local(*, controller, local, domain, sender, aliasempty, environ, getpw_ids, identity):
    """The process: never returns. controller: users.lookup.Controller, or None: ask bin/qmail-getpw, as getpw_ids.
    identity: identity.Identity; our own qmail-local, also behind a script, is told by the environment. (Any other one
    hands that variable on to commands.)"""
    try:
        os.chdir(home.HOME)
        if controller is None:
            controller = lookup.controller(getpw(local, getpw_ids))
        child.place({0: MESSAGE, 1: OUTPUT, 2: OUTPUT})
        prot.become(controller.uid, controller.gid)
    except Undecided as why:
        os._exit(why.code)
    except MemoryError:
        os._exit(MEMORY)
    except OSError:
        os._exit(BUG)
    who = controller
    if identity.number:
        environ = {**environ, copies.VARIABLE: copies.telling(identity.number, identity.repeat)}
    try:
        child.execute([b"bin/qmail-local", b"--", who.user, who.home, local, who.dash, who.ext, domain, sender,
                       aliasempty], environ)
    except OSError as why:          # a program that is missing or may not be run is our fault, not the mail's
        os._exit(EXECUTE_NEVER if why.errno == errno.E2BIG else EXECUTE_LATER)


def getpw(local, ids):
    """What bin/qmail-getpw says about an address. Raises Undecided."""
    try:
        reader, writer = os.pipe()
        pid = child.start(b"bin/qmail-getpw", [b"bin/qmail-getpw", local], {0: 0, 1: writer, 2: 2},
                          prepare=lambda: prot.become(*ids), failed=NO_GETPW)
        os.close(writer)
        answer = netio.read_all(reader, ANSWER_MAX)
        os.close(reader)
        status = child.wait(pid)
    except OSError:
        raise Undecided(SYSTEM) from None
    if status:
        raise Undecided(SYSTEM if status < 0 else status)
    return answer
