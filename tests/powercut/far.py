"""The remote host: takes what is not for refused-… or later-…"""
import socketserver
import threading

from tests.powercut import world
from tests.powercut.ledger import promised


class FarHost(socketserver.ThreadingTCPServer):
    """takes(number) is called before it says so."""

    daemon_threads, block_on_close, allow_reuse_address, request_queue_size = True, False, True, 100

    def __init__(self, takes):
        self.takes = takes
        super().__init__(("127.0.0.1", world.FAR), FarSession)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class FarSession(socketserver.StreamRequestHandler):
    def handle(self):
        self.say(b"220 far.example")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"RCPT" and b"<refused-" in line:
                self.say(b"550 no such user")
            elif verb == b"RCPT" and b"<later-" in line:
                self.say(b"450 not now")
            elif verb == b"DATA":
                self.say(b"354 go on")
                text = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    text += line
                number, whole = promised(text)
                if line and whole:
                    self.server.takes(number)
                self.say(b"250 taken" if line and whole else b"554 this is not a whole message")
            elif verb == b"QUIT":
                return self.say(b"221 bye")
            else:
                self.say(b"250 ok")

    def say(self, text):
        try:
            self.wfile.write(text + b"\r\n")
        except OSError:
            pass                    # the client is gone
