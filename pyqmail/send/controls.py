"""qmail-send's control files, read once at the start; locals and virtualdomains again at HUP."""
from ..base import control
from ..base.errors import Temporary
from . import routing

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
        self._envnoathost = routing.envnoathost(self._me)
        self.bouncefrom = control.line("bouncefrom", b"MAILER-DAEMON")
        self.bouncehost = control.line("bouncehost", self._me, b"bouncehost")
        box = control.line("doublebounceto", b"postmaster")
        host = control.line("doublebouncehost", self._me, b"doublebouncehost")
        self.doublebounceto = b"%b@%b" % (box, host) if box else None       # None: nobody wants them
        self._percenthack = routing.percenthack()
        self.routing = self._routing(routing.local_names(self._me), control.lines("virtualdomains"))

    def reread(self):
        """Read locals and virtualdomains again. Raises Reread, and changes nothing, if one cannot be read."""
        name = "locals"
        try:
            locals_ = routing.local_names(self._me)     # without the file: `me` as it was at the start
            name = "virtualdomains"
            self.routing = self._routing(locals_, control.lines(name))
        except Temporary:
            raise Reread(name) from None

    def _routing(self, locals_, virtualdomains):
        return routing.make(locals_, self._percenthack, virtualdomains, self._envnoathost)


class Reread(Exception):
    """control/NAME could not be read again; its text is NAME."""
