"""A message of 10 GB, against control/databytes and without it."""
import os
import socket
import time

from tests.extremes import site as sites
from tests.extremes.sink import Sink
from tests.powercut import world

CHUNK = (b"x" * 126 + b"\r\n") * 8192           # 1 MB
LIMIT = 64                          # MB that a process may take, whatever the size of the message


def large(site, table, options):
    size = min(options.size, max(len(CHUNK), (sites.free(site.home) - (2 << 30)) // 5 * 2))   # it will be there twice
    if size < options.size:
        table.figure("no room for more than", megabytes(size))
    size -= size % len(CHUNK)
    table.figure("size of the message", megabytes(size))
    with Sink() as sink, site.running(databytes=str(size // 100)):
        refused(site, table, size)
        site.control("databytes", None)
        with sites.Peaks(site.home) as peaks:
            accepted(site, table, size, sink)
            fetched(site, table, size)
        peaks.tell(table, LIMIT)
    site.empty("ann")


def megabytes(count):
    return f"{count / 1e6:,.0f} MB"


class Client:
    """An SMTP client that sends without reading what it sends."""

    def __init__(self):
        self.sock = socket.create_connection(("127.0.0.1", world.SMTP), sites.PATIENCE)
        self.file = self.sock.makefile("rb")
        self.reply()
        self.ask("EHLO client.example")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def ask(self, line):
        self.sock.sendall(line.encode() + b"\r\n")
        return self.reply()

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line.decode().rstrip()

    def text(self, size):
        """The text of `size` bytes; the reply, and how many bytes were sent before it came."""
        sent = 0
        try:
            while sent < size:
                self.sock.sendall(CHUNK)
                sent += len(CHUNK)
                if sent % (64 * len(CHUNK)) == 0 and self.pending():
                    return self.reply(), sent
            self.sock.sendall(b".\r\n")
        except OSError:
            pass                    # it has said why
        return self.reply(), sent

    def pending(self):
        self.sock.setblocking(False)
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.sock.settimeout(sites.PATIENCE)


def refused(site, table, size):
    """Larger than databytes allows: said after the text, of which no more than databytes allows went to the disk."""
    limit = size // 100
    with Client() as client:
        client.ask(f"MAIL FROM:<{sites.SUE}>")
        client.ask(f"RCPT TO:<{sites.ANN}>")
        client.ask("DATA")
        most, began = watched(site), time.monotonic()
        reply, sent = client.text(size)
        table.expect(reply.startswith("552"), f"too large a text: {reply!r}")
    most.over = True
    most.thread.join()
    table.figure("databytes: refused after", f"{time.monotonic() - began:.1f} s")
    table.figure("  bytes the client could send", megabytes(sent))
    table.figure("  most of it on the disk", megabytes(most.bytes), f"databytes {megabytes(limit)}")
    table.expect(most.bytes <= limit + (2 << 20), f"{most.bytes} bytes were written for a limit of {limit}")
    site.until(site.is_empty, "the queue is clean again", 60)


def watched(site):
    """How large a file in mess became."""
    import threading

    class Watch:
        over, bytes = False, 0

        def watch(self):
            while not self.over:
                for number in site.queued():
                    try:
                        self.bytes = max(self.bytes, os.stat(f"{site.home}/queue/mess/{number % 23}/{number}").st_size)
                    except FileNotFoundError:
                        pass
                time.sleep(0.05)
    watch = Watch()
    watch.thread = threading.Thread(target=watch.watch, daemon=True)
    watch.thread.start()
    return watch


def accepted(site, table, size, sink):
    """To a Maildir and to another host."""
    with Client() as client, sites.stopwatch() as taken:
        client.ask(f"MAIL FROM:<{sites.SUE}> SIZE={size}")
        client.ask(f"RCPT TO:<{sites.ANN}>")
        client.ask(f"RCPT TO:<large@{world.REMOTE}>")
        client.ask("DATA")
        reply, _ = client.text(size)
        if not reply.startswith("250"):
            raise sites.Broken(f"a large message: {reply}")
    table.figure("accepted over SMTP in", f"{taken[0]:.1f} s", f"{size / 1e6 / taken[0]:.0f} MB/s")
    with sites.stopwatch() as taken:
        site.until(lambda: site.arrived("ann") and sink.taken, "delivered")
        site.until(site.is_empty, "finished")
    table.figure("then in the Maildir and at the other host in", f"{taken[0]:.1f} s")
    with os.scandir(f"{site.mailbox('ann')}/new") as entries:
        stored = sum(entry.stat().st_size for entry in entries)
    lines = size // len(CHUNK) * 8192
    table.expect(0 < stored - (size - lines) < 2000, f"{stored} bytes in the Maildir")
    table.expect(0 < sink.octets - size < 2000, f"{sink.octets} bytes at the other host")


def fetched(site, table, size):
    """By POP3."""
    time.sleep(1)                   # a message of this very second is not shown yet
    with socket.create_connection(("127.0.0.1", world.POP3), sites.PATIENCE) as sock, sites.stopwatch() as taken:
        file = sock.makefile("rb")
        file.readline()
        for line in (f"USER {sites.ANN}", f"PASS {world.PASSWORD}", "RETR 1"):
            sock.sendall(line.encode() + b"\r\n")
            answer = file.readline()
            if not answer.startswith(b"+OK"):
                raise sites.Broken(f"POP3: {answer}")
        got, end = 0, b""
        while not end.endswith(b"\r\n.\r\n"):
            data = file.read1(1 << 20)
            if not data:
                raise sites.Broken("POP3 broke off")
            got, end = got + len(data), (end + data)[-5:]
        sock.sendall(b"DELE 1\r\nQUIT\r\n")
        table.expect(file.readline().startswith(b"+OK") and file.readline().startswith(b"+OK"), "POP3: DELE, QUIT")
    table.figure("fetched by POP3 in", f"{taken[0]:.1f} s", f"{size / 1e6 / taken[0]:.0f} MB/s")
    table.expect(0 < got - size < 4000, f"{got} bytes by POP3")
    site.until(lambda: not site.arrived("ann"), "deleted", 60)
