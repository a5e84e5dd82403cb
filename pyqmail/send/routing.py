"""The Routing that the control files make as they are now. qmail-send keeps parts of it until it starts again
(controls.py); who only wants to know where mail goes reads it here."""
from ..base import control
from ..base.errors import Temporary
from .rewrite import Routing

FILES = ("me", "locals", "virtualdomains", "percenthack", "envnoathost")


def current():
    """The Routing. Raises Temporary if a file cannot be read, or if neither locals nor me exists."""
    me = control.line("me")
    return make(local_names(me), percenthack(), control.lines("virtualdomains"), envnoathost(me))


def make(locals_, percenthack, virtualdomains, envnoathost):
    """virtualdomains: the lines of the file, or None; the others as Routing has them."""
    return Routing(locals_, percenthack, control.mapping(virtualdomains or ()), envnoathost)


def local_names(me):
    """control/locals, else `me`, as a set of lower-case names: guessing which domains are local could lose mail.
    Raises Temporary."""
    entries = control.lines("locals")
    if entries is None:
        if me is None:
            raise Temporary("neither control/locals nor control/me")
        entries = [me]
    return control.fold(entries)


def percenthack():
    return control.fold(control.lines("percenthack") or ())


def envnoathost(me):
    return control.line("envnoathost", me, b"envnoathost")
