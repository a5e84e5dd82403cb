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
    """A descriptor that becomes readable at the next pull; None without a trigger."""
    try:
        return os.open(TRIGGER, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def renew(fd):
    """(listen(), whether somebody pulled), in place of `fd`, which became readable and is closed.

    It becomes so twice if a pull takes its time, when the byte comes and when the writer leaves; only the byte is a
    pull. The new descriptor is open before the old one is closed, so no pull in between is lost; look into todo
    afterwards.
    """
    new = listen()
    try:
        pulled = new is None or os.read(new, 65536) != b""
    except BlockingIOError:
        pulled = False
    os.close(fd)
    return new, pulled
