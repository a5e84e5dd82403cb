"""Clients that nobody likes, many in one process.

    python -m tests.load.clients KIND COUNT PORT        KIND: idle, slow, connect, deaf

They come from as many addresses of 10.77.0.0/16 as they are. "ready" is printed when all are there (connect, deaf:
when they have begun). When standard input ends they end properly, those in a message with the message's end, and one
line of JSON says how many did what. See KINDS.
"""
import json
import os
import selectors
import socket
import sys
import time

NETWORK = "10.77."
TOGETHER = 200                      # connections made at once
PATIENCE = 60                       # s for any reply
LINE = b"Filling: slowly, slowly, one byte a second.\r\n"
DEAF_SAYS = b"HELP\r\n" * 1000


def source(number):
    """The address of a client."""
    return f"{NETWORK}{1 + number // 250}.{1 + number % 250}"


class Client:
    """One connection. replies: complete lines that came and nobody has asked for; gone: the server closed it."""

    def __init__(self, number, port):
        self.number, self.replies, self._rest, self.gone, self.sent = number, [], b"", False, 0
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        self.sock.bind((source(number), 0))
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))

    def read(self):
        try:
            while data := self.sock.recv(65536):
                *lines, self._rest = (self._rest + data).split(b"\n")
                self.replies += lines
            self.gone = True
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True

    def say(self, data):
        try:
            self.sock.send(data)
        except OSError:
            pass                    # what became of it, read() tells

    def last(self, code):
        """True once the last line of a reply with this code has come; what came is forgotten then."""
        found = any(line.startswith(code + b" ") for line in self.replies)
        if found:
            self.replies.clear()
        return found


def until(clients, done):
    """Wait until done(client) is true of all or the client is gone; how many of those it is true of."""
    waiting, fine = {client.sock: client for client in clients}, 0
    end = time.monotonic() + PATIENCE
    with selectors.EpollSelector() as selector:
        for sock in waiting:
            selector.register(sock, selectors.EVENT_READ)
        for client in clients:
            client.read()           # it may have come already
            if (ok := done(client)) or client.gone:
                fine += ok
                selector.unregister(client.sock)
                del waiting[client.sock]
        while waiting and time.monotonic() < end:
            for key, _ in selector.select(1):
                client = waiting[key.fileobj]
                client.read()
                if (ok := done(client)) or client.gone:
                    fine += ok
                    selector.unregister(client.sock)
                    del waiting[client.sock]
    return fine


def talk(clients, line, code):
    """Have all say a line; how many got a reply with this code."""
    fine = 0
    for start in range(0, len(clients), TOGETHER):
        some = clients[start:start + TOGETHER]
        for client in some:
            client.say(line)
        fine += until(some, lambda client: client.last(code))
    return fine


def arrive(count, port):
    """So many clients, and how many were greeted."""
    clients, greeted = [], 0
    while len(clients) < count:
        some = [Client(len(clients) + n, port) for n in range(min(TOGETHER, count - len(clients)))]
        greeted += until(some, lambda client: client.last(b"220"))
        clients += some
    return clients, greeted


class Over:
    """Whether our caller wants us to end."""

    def __init__(self):
        os.set_blocking(0, False)

    def __bool__(self):
        try:
            return os.read(0, 1) == b""
        except BlockingIOError:
            return False


def ready():
    print("ready", flush=True)


def leave(clients):
    return talk(clients, b"QUIT\r\n", b"221")


def idle(count, port):
    """Greeted, then nothing; QUIT at the end."""
    clients, greeted = arrive(count, port)
    ready()
    os.set_blocking(0, True)
    sys.stdin.read()
    return {"greeted": greeted, "left": leave(clients)}


def slow(count, port):
    """One byte a second: the first half the letters of commands, the other half a message's text."""
    clients, greeted = arrive(count, port)
    talkers, writers = clients[:count // 2], clients[count // 2:]
    started = len(writers)
    for line, code in ((b"EHLO slow.example\r\n", b"250"), (b"MAIL FROM:<slow@far.example>\r\n", b"250"),
                       (b"RCPT TO:<sue@mail.example>\r\n", b"250"), (b"DATA\r\n", b"354")):
        started = min(started, talk(writers, line, code))
    ready()
    over, second = Over(), 0
    begin = time.monotonic()
    while not over:
        # A tenth of them at a time: strangers do not strike all at the same instant.
        for client in clients[second % 10::10]:
            words = b"NOOP\r\n" if client.number < count // 2 else LINE
            client.say(words[client.sent % len(words):][:1])
            client.sent += 1
            if client.sent % len(words) == 0:
                client.read()
        second += 1
        time.sleep(max(0, begin + second / 10 - time.monotonic()))
    for client in talkers:
        client.say(b"NOOP\r\n"[client.sent % 6:] if client.sent % 6 else b"")
    for client in writers:
        client.say(LINE[client.sent % len(LINE):])
    accepted = talk(writers, b"\r\n.\r\n", b"250")
    return {"greeted": greeted, "in DATA": started, "accepted": accepted, "left": leave(clients)}


def connect(count, port):
    """Connections made and closed at once, as fast as it goes, half of them reset."""
    ready()
    over, made, failed = Over(), 0, 0
    while not over:
        for number in range(50):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
                sock.bind((source((made + number) % count), 0))
                if number % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.settimeout(PATIENCE)
                try:
                    sock.connect(("127.0.0.1", port))
                except OSError:
                    failed += 1
        made += 50
    return {"made": made, "failed": failed}


def deaf(count, port):
    """Commands as fast as they are taken, and no reply is ever read."""
    clients, greeted = arrive(count, port)
    ready()
    over, sent = Over(), 0
    while not over:
        for client in clients:
            try:
                sent += client.sock.send(DEAF_SAYS)
            except OSError:
                pass
        time.sleep(0.02)
    return {"greeted": greeted, "bytes": sent}


KINDS = {"idle": idle, "slow": slow, "connect": connect, "deaf": deaf}


def main(words):
    kind, count, port = words
    found = KINDS[kind](int(count), int(port))
    print(json.dumps(found), flush=True)
    os._exit(0)                     # thousands of sockets close faster without us


if __name__ == "__main__":
    main(sys.argv[1:])
