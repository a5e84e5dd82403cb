"""qmail-send's control files, read once at the start; locals and virtualdomains again at HUP."""
from ..base import control
from ..base.errors import Temporary
from .rewrite import Routing

LIFETIME = 604_800                  # s; one week
CONCURRENCY = {"local": 10, "remote": 20}


class Controls:
    """Everything as it was read. Raises Temporary from the constructor if a file cannot be read, or if
    neither locals nor me exists: guessing which domains are local could lose mail."""

    def __init__(self):
        self._me = control.line("me")
        self.lifetime = control.number("queuelifetime", LIFETIME)
        self.concurrency = {channel: control.number(f"concurrency{channel}", default)
                            for channel, default in CONCURRENCY.items()}
        self._envnoathost = control.line("envnoathost", self._me, b"envnoathost")
        self.bouncefrom = control.line("bouncefrom", b"MAILER-DAEMON")
        self.bouncehost = control.line("bouncehost", self._me, b"bouncehost")
        box = control.line("doublebounceto", b"postmaster")
        host = control.line("doublebouncehost", self._me, b"doublebouncehost")
        self.doublebounceto = b"%b@%b" % (box, host) if box else None       # None: nobody wants them
        self._percenthack = control.fold(control.lines("percenthack") or ())
        self.routing = self._routing(self._locals(), control.lines("virtualdomains"))

    def reread(self):
        """Read locals and virtualdomains again. Raises Reread, and changes nothing, if one cannot be read."""
        name = "locals"
        try:
            locals_ = self._locals()
            name = "virtualdomains"
            self.routing = self._routing(locals_, control.lines(name))
        except Temporary:
            raise Reread(name) from None

    def _locals(self):
        """control/locals, else `me` as it was at the start."""
        entries = control.lines("locals")
        if entries is None:
            if self._me is None:
                raise Temporary("neither control/locals nor control/me")
            entries = [self._me]
        return control.fold(entries)

    def _routing(self, locals_, virtualdomains):
        return Routing(locals_, self._percenthack, control.mapping(virtualdomains or ()), self._envnoathost)


class Reread(Exception):
    """control/NAME could not be read again; its text is NAME."""
