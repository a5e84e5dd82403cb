"""The load, the same for every peer, and how one sees that its work is done.

smtp-source and smtp-sink (Debian's package postfix) are neutral: neither peer's code is in them. Arrival of mail is
learned from the kernel (inotify) every few milliseconds, so that waiting costs the peers no processor time.
"""
import contextlib
import ctypes
import os
import select
import socket
import struct
import subprocess
import time

from . import place

PATIENCE = 300                          # s for one round; then something is broken
INTERVAL = 0.004                        # s between two looks
EVENT = struct.Struct("iIII")
CREATED, MOVED = 0x100, 0x80            # IN_CREATE, IN_MOVED_TO
SENDER = "sender@client.example"


class Failed(Exception):
    """A peer did not do its work: there is no figure."""


def until(ready, what, patience=PATIENCE, interval=INTERVAL):
    end = time.monotonic() + patience
    while not ready():
        if time.monotonic() > end:
            raise Failed(f"waited {patience} s in vain for {what}")
        time.sleep(interval)


class Arrivals:
    """Counts the messages that come into people's new/, as a context manager."""

    def __init__(self, people):
        self.count = 0
        library = ctypes.CDLL(None, use_errno=True)
        self.fd = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for person in people:
            if library.inotify_add_watch(self.fd, os.fsencode(person.new), CREATED | MOVED) < 0:
                raise OSError(ctypes.get_errno(), f"inotify: {person.new}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def look(self):
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, 1 << 16):
                place_in = 0
                while place_in < len(data):
                    place_in += EVENT.size + EVENT.unpack_from(data, place_in)[3]
                    self.count += 1
        return self.count

    def wait(self, messages, each=lambda: None):
        def there():
            each()
            return self.look() >= messages
        until(there, f"{messages} messages")
        if self.count > messages:
            raise Failed(f"{self.count} messages arrived instead of {messages}")


class Sink:
    """smtp-sink at 127.0.0.1:`port`, running inside the `with`. `delay`: s before each answer to the text."""

    def __init__(self, directory, port, delay=0, sessions=256):
        self.log, words = f"{directory}/sink.log", ["smtp-sink", "-c", "-u", "nobody", "-m", str(sessions)]
        self.words = [*words, *(["-w", str(delay)] if delay else []), f"127.0.0.1:{port}", "1024"]
        self.port, self.begun = port, 0

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.words, stdout=log, stderr=subprocess.STDOUT)
        until(lambda: connects(self.port), "smtp-sink", 30)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def begin(self):
        """Count from here on."""
        self.begun = self.messages()

    def messages(self):
        """How many messages it has taken, from the counter that it writes."""
        with open(self.log, "rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 100))
            lines = f.read().split(b"\r")
        return int(lines[-2].rpartition(b"mesg=")[2]) if len(lines) > 1 else 0

    def wait(self, messages):
        until(lambda: self.messages() - self.begun >= messages, f"{messages} messages at the sink")


def connects(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def source(port, recipient, messages, *, sessions=20, size=2000, keep=False, recipients=1):
    """smtp-source, running. keep: connections are used again. More recipients: 3NAME@…, 2NAME@…, NAME@…"""
    words = ["smtp-source", "-s", str(min(sessions, messages)), "-m", str(messages), "-l", str(size), "-f", SENDER,
             "-t", recipient, *(["-d"] if keep else []), *(["-r", str(recipients)] if recipients > 1 else [])]
    return subprocess.Popen([*words, f"127.0.0.1:{port}"], stderr=subprocess.PIPE, text=True)


def sent(process):
    """Wait for smtp-source's end; all its messages have been accepted."""
    errors = process.communicate(timeout=PATIENCE)[1]
    if process.returncode:
        raise Failed(errors.strip())


def recipients(name, count):
    """The names that smtp-source makes of one."""
    return [name if number == 1 else f"{number}{name}" for number in range(1, count + 1)]


def sendmails(program, recipient, messages, loops, directory, sender):
    """`program -t` so many times, by so many shell loops side by side, as the user `sender`; waits for their end."""
    path = f"{directory}/sendmail.text"
    with open(path, "w", encoding="ascii") as f:
        f.write(f"To: {recipient}\nSubject: benchmark\n\n" + ("x" * 79 + "\n") * 25)
    script = f'n=0; while [ $n -lt {messages // loops} ]; do {program} -t < "{path}" || exit 1; n=$((n+1)); done'
    running = [subprocess.Popen(["/bin/sh", "-c", script], cwd="/", stdin=subprocess.DEVNULL, **place.user(sender))
               for _ in range(loops)]
    if any([process.wait() for process in running]):
        raise Failed(f"{program} -t failed")


class Client:
    """One side of a conversation in lines: SMTP or POP3."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def line(self):
        while b"\n" not in self.held:
            data = self.sock.recv(1 << 16)
            if not data:
                raise Failed("the server has hung up")
            self.held += data
        line, _, self.held = self.held.partition(b"\n")
        return line

    def ask(self, line, good):
        """Send a command; its answer must begin with `good`."""
        if line:
            self.sock.sendall(line + b"\r\n")
        answer = self.line()
        if not answer.startswith(good):
            raise Failed(f"{line[:60]!r}: {answer!r}")

    def many(self, line):
        """A POP3 command whose answer ends with a dot; the number of bytes."""
        self.sock.sendall(line + b"\r\n")
        parts, last = [self.held], self.held[-5:]
        while last != b"\r\n.\r\n":
            parts.append(self.sock.recv(1 << 18))
            last = (last + parts[-1])[-5:]
            if not parts[-1] or parts[0] + parts[-1][:1] and not (parts[0] or parts[1]).startswith(b"+OK"):
                raise Failed(f"{line!r}: no answer")
        self.held = b""
        return sum(map(len, parts))


def latency(port, recipient, arrivals):
    """Seconds from SMTP's 250 after the text until the file is in new/; 0 if it was there before the answer."""
    with Client(port) as smtp:
        smtp.ask(b"", b"220")
        smtp.ask(b"HELO client.example", b"250")
        smtp.ask(b"MAIL FROM:<%b>" % SENDER.encode(), b"250")
        smtp.ask(b"RCPT TO:<%b>" % recipient.encode(), b"250")
        smtp.ask(b"DATA", b"354")
        smtp.ask(b"Subject: benchmark\r\n\r\n" + (b"x" * 78 + b"\r\n") * 25 + b".", b"250")
        accepted = time.monotonic()
        if not select.select([arrivals.fd], [], [], PATIENCE)[0]:
            raise Failed("a message did not arrive")
        took = time.monotonic() - accepted
        arrivals.look()
        smtp.ask(b"QUIT", b"221")
        return took
