"""8: POP3, beside Dovecot."""
import contextlib

from .. import load, place
from ..bench import Clock, Part, Work


class Pop3(Work):
    name, title, against, with_c_qmail = "8", "POP3 against Dovecot", "dovecot", False
    parts = [Part("sessions", "login + STAT + UIDL on a Maildir of 10,000", "sessions/s", 0.5, 1.0),
             Part("messages", "RETR of 1,000", "messages/s", 0.5, 1.0)]

    @contextlib.contextmanager
    def ready(self, bench):
        self.listed, self.read = bench.amount(10_000, 100), bench.amount(1000, 20)
        lister, reader = bench.people.get("lister", "reader")
        for person, messages in ((lister, self.listed), (reader, self.read)):
            person.fill(messages)
        for peer in bench.peers(self):              # Dovecot makes its index, as it does once in a Maildir's life
            self.list(peer)
            self.fetch(peer)
        yield

    def round(self, bench, peer):
        times, clock = bench.amount(5, 1), Clock()
        for _ in range(times):
            self.list(peer)
        listing, clock = clock(), Clock()
        self.fetch(peer)
        return {"sessions": times / listing, "messages": self.read / clock()}

    def list(self, peer):
        with session(peer, b"lister") as pop3:
            pop3.ask(b"STAT", b"+OK %d " % self.listed)
            pop3.many(b"UIDL")

    def fetch(self, peer):
        with session(peer, b"reader") as pop3:
            for number in range(1, self.read + 1):
                pop3.many(b"RETR %d" % number)


@contextlib.contextmanager
def session(peer, name):
    with load.Client(peer.pop3) as pop3:
        pop3.ask(b"", b"+OK")
        pop3.ask(b"USER " + name, b"+OK")
        pop3.ask(b"PASS " + place.PASSWORD.encode(), b"+OK")
        yield pop3
        pop3.ask(b"QUIT", b"+OK")
