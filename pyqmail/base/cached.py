"""Settings that a long-lived server reads again only when one of their control files has changed."""
from . import filemark, home


class Cached:
    """current() gives make()'s result for the control files as they are now. Raises what make() raises."""

    def __init__(self, files, make):
        self._files, self._make, self._seen, self._made = files, make, None, None

    def forget(self):
        """Read everything again next time."""
        self._seen = None

    def current(self):
        now = [filemark.of(home.path("control", name)) for name in self._files]
        if now != self._seen:
            self._made, self._seen = self._make(), now
        return self._made
