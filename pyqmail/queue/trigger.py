"""lock/trigger: the named pipe that wakes qmail-send. Only its becoming readable says something."""
import os

from .names import TRIGGER


def pull():
    """Wake qmail-send. Any failure is ignored: it looks into todo every 25 minutes anyway."""
    try:
        fd = os.open(TRIGGER, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, b"\0")
        finally:
            os.close(fd)
    except OSError:
        pass


def listen():
    """A descriptor that becomes readable at the next pull; None without a trigger. Close and open
    it again before looking into todo, so that a pull during the scan is not lost."""
    try:
        return os.open(TRIGGER, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
