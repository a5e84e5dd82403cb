"""A mail host on a port of its own whose mood a test sets: what it answers to each command, and what it got."""
import socketserver
import threading

GREETING, EHLO, MAIL, RCPT, DATA, TEXT = "greeting", "EHLO", "MAIL", "RCPT", "DATA", "text"
KIND = {GREETING: b"220 host ESMTP", EHLO: b"250 host", MAIL: b"250 sender", RCPT: b"250 recipient", DATA: b"354 go on",
        TEXT: b"250 taken"}


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        host = self.server.host
        self.answer(host.mood[GREETING])
        sender, recipients = b"", []
        while line := self.rfile.readline():
            verb, _, rest = line.strip().partition(b" ")
            verb = verb.upper()
            if verb in (b"EHLO", b"HELO"):
                self.answer(host.mood[EHLO])
            elif verb == b"MAIL":
                sender, recipients = rest, []
                self.answer(host.mood[MAIL])
            elif verb == b"RCPT":
                recipients.append(rest)
                self.answer(host.mood[RCPT])
            elif verb == b"DATA":
                self.answer(host.mood[DATA])
                if host.mood[DATA].startswith(b"354"):
                    host.in_text.set()
                    text = self.text()
                    host.go_on.wait(60)
                    if host.mood[TEXT].startswith(b"2"):        # first: who hears the answer may look at once
                        host.messages.append((sender, recipients, text))
                    self.answer(host.mood[TEXT])
            elif verb == b"QUIT":
                return self.answer(b"221 bye")
            else:
                self.answer(b"250 ok")

    def text(self):
        found = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            found += line.removeprefix(b".")
        return found

    def answer(self, text):
        self.wfile.write(text + b"\r\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, block_on_close = True, False
    request_queue_size = 500        # what does not fit would wait for minutes, after a look that was good


class Host:
    """mood: {step: reply}. messages: [(MAIL's argument, [RCPT's arguments], text with CRLF)] that were taken.
    in_text is set when a client sends a text; clearing go_on keeps it waiting for the reply."""

    def __init__(self, **mood):
        self.mood, self.messages = {**KIND, **mood}, []
        self.in_text, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def __enter__(self):
        self.server = Server(("127.0.0.1", 0), Session)
        self.server.host = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
