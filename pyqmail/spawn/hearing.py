"""The pipe into which a delivery and the commands it runs say what there is to say.

It is at its end when everybody who held it has closed it: a command that was left in the background delays the report.
"""
import os

from . import ending

READ = 1 << 16                      # bytes read at a time


class NoPipe(OSError):
    """There is no pipe to be had."""


class Hearing:
    """writer: a descriptor for who delivers; handed_on() when he has it. Of what comes, ending.OUTPUT_MAX bytes are
    kept. Raises NoPipe."""

    def __init__(self, loop):
        try:
            self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        except OSError as why:
            raise NoPipe(why.errno, "pipe") from None
        os.set_blocking(self._reader, False)
        self._loop, self._heard, self._whole = loop, ending.Output(), None
        loop.watch(self._reader, self._read)

    def handed_on(self):
        """Close our writing end: only those who deliver keep the pipe open."""
        os.close(self.writer)

    def end(self, whole):
        """whole(text) is called at the end of the pipe: now, or when the last one has closed it."""
        self._whole = whole
        self._read()                # usually all of it is there already

    def so_far(self):
        """What has come from a process that goes on to hold the pipe."""
        text = self._heard.text()
        if text:
            self._heard = ending.Output()
        return text

    def close(self):
        """Hear no more."""
        if self._reader >= 0:
            self._loop.forget(self._reader)
            os.close(self._reader)
            self._reader = -1

    def _read(self):
        """Take what there is; no more than two pieces, so that no delivery holds up the others."""
        for _ in range(2):
            if self._reader >= 0:
                try:
                    data = os.read(self._reader, READ)
                except BlockingIOError:
                    return
                self._heard.add(data)
                if data:
                    continue
                self.close()
            if self._whole:
                whole, self._whole = self._whole, None
                whole(self._heard.text())
            return
