"""Bounded reads and complete writes on descriptors."""
import os


def write_all(fd, data):
    """Write every byte of data to a blocking descriptor. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def read_all(fd, limit):
    """Everything to end of file; what goes beyond `limit` bytes is dropped (read, not kept)."""
    kept = bytearray()
    while True:
        data = os.read(fd, 65536)
        if not data:
            return bytes(kept)
        kept += data[:max(0, limit - len(kept))]


def read_file(path, limit=1 << 24):
    """The bytes of a file. Raises OSError; a file beyond `limit` bytes is cut there."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return read_all(fd, limit)
    finally:
        os.close(fd)


class Packets:
    """Packets of at most `limit` bytes from sockets, longer ones cut. All go through one buffer: to have a large one made
    for each is the kernel's work for 10 microseconds and more."""

    def __init__(self, limit):
        self._buffer = memoryview(bytearray(limit))

    def receive(self, sock, flags=0):
        """One packet, b"" at the end. Raises OSError."""
        return bytes(self.view(sock, flags))

    def view(self, sock, flags=0):
        """The same, without a copy of its own: until the next one comes."""
        return self._buffer[:sock.recv_into(self._buffer, 0, flags)]


def sync_directory(path):
    """The names in a directory are on the disk when this returns. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def close_quietly(*fds):
    """Close descriptors, whether they are open or not."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass
