"""The remote host: takes what it is given as fast as it can, keeps nothing of it, and counts."""
import collections
import socketserver
import threading

from tests.powercut import world

END = b"\r\n.\r\n"
ADDRESS = 1 << 16                   # bytes; commands are short


class Sink(socketserver.ThreadingTCPServer):
    """rcpt: the reply to RCPT, or a function of the address. As a context manager. taken: Counter of recipients whose
    message was taken; octets: bytes of texts; tried: sessions."""

    daemon_threads, block_on_close, allow_reuse_address, request_queue_size = True, False, True, 500

    def __init__(self, rcpt=b"250 ok"):
        super().__init__(("127.0.0.1", world.FAR), Session)
        self.rcpt, self.taken, self.octets, self.tried = rcpt, collections.Counter(), 0, 0
        self.lock = threading.Lock()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Session(socketserver.BaseRequestHandler):
    def setup(self):
        self.held = b""

    def more(self):
        data = self.request.recv(1 << 20)
        if not data:
            raise ConnectionError
        self.held += data

    def line(self):
        while b"\n" not in self.held:
            self.more()
        line, _, self.held = self.held.partition(b"\n")
        return line.rstrip(b"\r")

    def text(self):
        """Bytes of the text up to its end."""
        length, self.held = 0, b"\r\n" + self.held
        while (at := self.held.find(END)) < 0:
            length += max(0, len(self.held) - 4)
            self.held = self.held[-4:]
            self.more()
        self.held = self.held[at + len(END):]
        return length + at

    def handle(self):
        server = self.server
        with server.lock:
            server.tried += 1
        recipients = []
        try:
            self.say(b"220 far.example")
            while True:
                line = self.line()
                verb = line[:4].upper()
                if verb == b"EHLO":
                    self.say(b"250-far.example\r\n250 PIPELINING")
                elif verb == b"MAIL":
                    recipients.clear()
                    self.say(b"250 ok")
                elif verb == b"RCPT":
                    address = line.partition(b"<")[2].partition(b">")[0]
                    reply = server.rcpt(address) if callable(server.rcpt) else server.rcpt
                    if reply.startswith(b"2"):
                        recipients.append(address)
                    self.say(reply)
                elif verb == b"DATA" and not recipients:
                    self.say(b"554 no valid recipients")
                elif verb == b"DATA":
                    self.say(b"354 go on")
                    length = self.text()
                    with server.lock:
                        server.octets += length
                        server.taken.update(recipients)
                    self.say(b"250 taken")
                elif verb == b"QUIT":
                    return self.say(b"221 bye")
                else:
                    self.say(b"250 ok")
        except OSError:
            pass                    # the client is gone

    def say(self, text):
        self.request.sendall(text + b"\r\n")
