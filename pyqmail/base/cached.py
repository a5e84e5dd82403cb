"""Settings that a long-lived server reads again only when one of their control files has changed."""
import time

from . import filemark, home
from .watch import Watch

BELIEVED = 1                        # s for which the watch alone is asked


class Cached:
    """current() gives make()'s result for the control files as they are now. Raises what make() raises.

    watched: files are looked at once a second, or when something in control/ changes; else each time. Only for what
    one process makes and uses itself."""

    def __init__(self, files, make, watched=False):
        self._files, self._make, self._seen, self._made = files, make, None, None
        self._watch, self._looked = None, 0.0
        if watched:
            try:
                self._watch = Watch(home.path("control"))
            except OSError:
                pass                # no control/, or too many watches: looking each time is as good

    def forget(self):
        """Read everything again next time."""
        self._seen = None

    def current(self):
        if self._watch is not None:
            time_now, quiet = time.monotonic(), not self._watch.changed()
            if quiet and self._seen is not None and time_now - self._looked < BELIEVED:
                return self._made
            self._looked = time_now
        now = [filemark.of(home.path("control", name)) for name in self._files]
        if now != self._seen:
            self._seen = None       # what make() raises, it raises the next time as well
            self._made = self._make()
            self._seen = now
        return self._made
