"""A program that is fed on its descriptor 0: some lines of ours, then what comes on our descriptor 0."""
import os

from . import child, errors, netio, sig
from .errors import Temporary, text

HELD = 8192                         # the last bytes, up to so many, are written without asking whether they are wanted
PIECE = 65536


class Feed:
    """argv, looked up along PATH, running. caller: the name to complain with; cannot_run(OSError) is the
    program's exit code if it cannot be executed, after it has been said. Raises Temporary."""

    def __init__(self, caller, argv, environ, cannot_run):
        def complain(why):
            errors.say(caller, ": fatal: unable to run ", argv[0], ": ", text(why))
            return cannot_run(why)
        try:
            reader, self._writer = os.pipe()
        except OSError as why:
            raise Temporary(f"unable to create pipe: {text(why)}") from None
        try:
            self.pid = child.start(argv[0], argv, {0: reader}, env=environ, search=child.search_path(environ),
                                   failed=complain)
        except OSError as why:
            raise Temporary(f"unable to fork: {text(why)}") from None
        os.close(reader)

    def copy(self, head):
        """Give it head and all of descriptor 0. Raises BrokenPipeError if the program stops reading; but a
        message of a few lines it may as well ignore. Raises Temporary if descriptor 0 cannot be read: the
        program then is ended before it takes half a message for a whole one."""
        held = head
        while piece := self._read():
            held += piece
            if len(held) > HELD:
                netio.write_all(self._writer, held)
                held = b""
        try:
            netio.write_all(self._writer, held)
        except BrokenPipeError:
            pass                    # its exit code will tell

    def _read(self):
        try:
            return os.read(0, PIECE)
        except OSError as why:
            os.kill(self.pid, sig.KILL)
            child.wait(self.pid)
            raise Temporary(f"unable to copy input: {text(why)}") from None

    def end(self):
        """No more input; wait. The program's exit code; raises Temporary if a signal ended it."""
        os.close(self._writer)
        code = child.wait(self.pid)
        if code < 0:
            raise Temporary("child crashed")
        return code
