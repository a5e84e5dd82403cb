"""qmail-log: keep a log in files of bounded size.

    qmail-log DIRECTORY [SIZE [COUNT]]

Copies lines from descriptor 0 to DIRECTORY/current, each with the time (UTC) in front. When
`current` has grown beyond SIZE bytes (default 1000000) it is renamed to its closing time and a
new one is begun; of the old ones the COUNT latest (default 10) are kept. For machines without
syslog; with one, splogger does this work. DIRECTORY is made if it is missing.

A full disk stops nothing: lines that cannot be written are tried again, while the programs that
write wait; that is qmail's way, too. Ends with 0 at end of file, 111 if it cannot begin.

**Security**: uid qmaill, no rights beyond its directory; what it reads is written by programs of
every role and may contain anything, so control characters become "?".
"""
import os
import time

from ..base import errors, sandbox

SIZE, COUNT = 1_000_000, 10
LONGEST = 8192                      # bytes of one line; the rest goes into a line of its own
PAUSE = 3                           # s between two attempts to write
UNPRINTABLE = bytes.maketrans(bytes((*range(0, 9), *range(11, 32), 127)), b"?" * 31)


def main(argv):
    if not 1 <= len(argv) <= 3 or not all(word.isdigit() for word in argv[1:]):
        errors.say("qmail-log: usage: qmail-log directory [size [count]]")
        return errors.PERMANENT
    os.umask(0o027)
    try:
        os.mkdir(argv[0])
    except FileExistsError:
        pass
    os.chdir(argv[0])
    sandbox.enter(sandbox.Files(write=(".",)))
    log = Log(*map(int, argv[1:]))
    for line in lines(0):
        log.write(stamp(time.time()) + b" " + line.translate(UNPRINTABLE) + b"\n")
    return 0


def lines(fd):
    """The lines read from fd, without newlines; one that is too long comes in pieces."""
    rest = b""
    while data := os.read(fd, 65536):
        *complete, rest = (rest + data).split(b"\n")
        for line in complete:
            yield from pieces(line)
        while len(rest) > LONGEST:
            yield rest[:LONGEST]
            rest = rest[LONGEST:]
    if rest:
        yield rest


def pieces(line):
    yield line[:LONGEST]
    for start in range(LONGEST, len(line), LONGEST):
        yield line[start:start + LONGEST]


def stamp(now):
    """2026-11-22T09:05:07.123456Z"""
    return b"%b.%06dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)).encode(), int(now % 1 * 1_000_000))


class Log:
    """The files of the directory we stand in."""

    def __init__(self, size=SIZE, count=COUNT):
        self.size, self.count = size, count
        self.fd = open_current()

    def write(self, line):
        """Append a line, however long it takes until there is room for it."""
        while line:
            try:
                line = line[os.write(self.fd, line):]
            except OSError as why:
                errors.say("qmail-log: warning: unable to write, will try again: ", errors.text(why))
                time.sleep(PAUSE)
        if os.fstat(self.fd).st_size >= self.size:
            self.rotate()

    def rotate(self):
        try:
            os.rename(b"current", b"@" + stamp(time.time()))
            fd = open_current()
        except OSError as why:
            errors.say("qmail-log: warning: unable to begin a new file: ", errors.text(why))
            return                      # it goes on growing; the next line tries again
        os.close(self.fd)
        self.fd = fd
        old = sorted(name for name in os.listdir(b".") if name.startswith(b"@"))
        for name in old[:max(0, len(old) - self.count)]:
            os.unlink(name)


def open_current():
    return os.open(b"current", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
