"""qmail-log: keep a log in files of bounded size.

    qmail-log DIRECTORY [SIZE [COUNT]]
    qmail-log --several FD DIRECTORY [FD DIRECTORY …]

Copies lines from descriptor 0 to DIRECTORY/current, each with the time (UTC) in front. When
`current` has grown beyond SIZE bytes (default 1000000) it is renamed to its closing time and a
new one is begun; of the old ones the COUNT latest (default 10) are kept. For machines without
syslog; with one, splogger does this work. DIRECTORY is made if it is missing. With --several one
process keeps the logs of several programs, each with a descriptor of its own.

A full disk stops nothing: lines that cannot be written are tried again, while the programs that
write wait; that is qmail's way, too. Ends with 0 at end of file, 111 if it cannot begin.

**Security**: uid qmaill, no rights beyond its directories; what it reads is written by programs of
every role and may contain anything, so control characters become "?".
"""
import os
import time

from ..base import errors, feeds, limits, sandbox

SIZE, COUNT = 1_000_000, 10
LONGEST = 8192                      # bytes of one line; the rest goes into a line of its own
PAUSE = 3                           # s between two attempts to write
UNPRINTABLE = bytes.maketrans(bytes((*range(0, 9), *range(11, 32), 127)), b"?" * 31)


def main(argv):
    several = argv[:1] == [feeds.SEVERAL]
    if several:
        sources, settings = feeds.sources(argv), ()
    else:
        sources, settings = {0: argv[0]} if 1 <= len(argv) <= 3 else None, argv[1:]
    if sources is None or not all(word.isdigit() for word in settings):
        errors.say("qmail-log: usage: qmail-log directory [size [count]]")
        return errors.PERMANENT
    os.umask(0o027)
    logs = {fd: Log(directory, *map(int, settings)) for fd, directory in sources.items()}
    limits.enter("qmail-log")
    sandbox.enter(sandbox.Files(write=tuple(sources.values())))
    for log in logs.values():
        log.begin()
    for fd, data in feeds.arriving(sources):
        logs[fd].write(logs[fd].lines(data))
    return 0


def pieces(line):
    return [line[start:start + LONGEST] for start in range(0, len(line), LONGEST)]


def stamp(now):
    """2026-11-22T09:05:07.123456Z"""
    return b"%b.%06dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)).encode(), int(now % 1 * 1_000_000))


class Log:
    """The files of one directory, which is made if it is missing. Raises OSError."""

    def __init__(self, directory, size=SIZE, count=COUNT):
        self.size, self.count = size, count
        try:
            os.mkdir(directory)
        except FileExistsError:
            pass
        self.root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.fd, self._rest = -1, b""

    def begin(self):
        """Open the file to write to. Raises OSError."""
        self.fd = self.open_current()
        self.room = self.size - os.fstat(self.fd).st_size

    def lines(self, data):
        """The lines that are complete now, without newlines; one that is too long comes in pieces. data: what was
        read, b"" at the end."""
        *complete, self._rest = (self._rest + data).translate(UNPRINTABLE).split(b"\n")
        together = [piece for line in complete for piece in (pieces(line) if len(line) > LONGEST else (line,))]
        if len(self._rest) > LONGEST:
            *whole, self._rest = pieces(self._rest)
            together += whole
        if not data and self._rest:
            together.append(self._rest)
        return together

    def write(self, lines):
        """Append lines that came together, all with the time it is now, with one write for each file they go to."""
        now, text = stamp(time.time()) + b" ", bytearray()
        for line in lines:
            text += now + line + b"\n"
            if len(text) >= self.room:
                self.append(text)
                text = bytearray()
        if text:
            self.append(text)

    def append(self, text):
        """Append text, however long it takes until there is room for it; begin a new file if this one is full now."""
        while text:
            try:
                del text[:os.write(self.fd, text)]
            except OSError as why:
                errors.say("qmail-log: warning: unable to write, will try again: ", errors.text(why))
                time.sleep(PAUSE)
        self.room = self.size - os.fstat(self.fd).st_size
        if self.room <= 0:
            self.rotate()

    def rotate(self):
        try:
            os.rename(b"current", b"@" + stamp(time.time()), src_dir_fd=self.root, dst_dir_fd=self.root)
            fd = self.open_current()
        except OSError as why:
            errors.say("qmail-log: warning: unable to begin a new file: ", errors.text(why))
            return                      # it goes on growing; the next line tries again
        os.close(self.fd)
        self.fd, self.room = fd, self.size
        old = sorted(name for name in os.listdir(self.root) if name.startswith("@"))
        for name in old[:max(0, len(old) - self.count)]:
            os.unlink(name, dir_fd=self.root)

    def open_current(self):
        return os.open("current", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640, dir_fd=self.root)
