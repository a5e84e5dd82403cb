"""Advisory locks (flock) on open files."""
import fcntl

from .deadline import Deadline


def exclusive(fd, seconds):
    """Lock the file; waits for others up to `seconds`. False if it cannot be locked at all.
    Raises deadline.Expired if somebody else held it all the time."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        pass
    except OSError:
        return False
    try:
        with Deadline(seconds):
            fcntl.flock(fd, fcntl.LOCK_EX)
        return True
    except OSError:
        return False
