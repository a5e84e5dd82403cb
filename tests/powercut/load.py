"""The load: everything that leaves a promise behind, and what makes life hard for those who gave it.

A promise is 250 or K to the text of a message, exit 0 of a program that takes one, +OK to POP3's QUIT, exit 0 of a
program that changes accounts, domains, tables or the queue.
"""
import collections
import poplib
import random
import smtplib
import subprocess
import threading
import time

from tests.powercut import administer, far, ledger, readers, ways_in

ACTORS = {
    "smtp": ways_in.smtp, "network": ways_in.network, "program": ways_in.program, "qmtp": ways_in.qmtp,
    "qmqp": ways_in.qmqp, "pop3": readers.pop3, "move": readers.move, "accounts": administer.accounts,
    "passwords": administer.passwords, "domains": administer.domains, "aliases": administer.aliases,
    "tables": administer.tables, "by hand": administer.by_hand, "stalls": administer.stalls,
}
USUAL = ("smtp", "network", "program", "pop3", "move", "accounts", "passwords", "domains", "aliases", "tables",
         "by hand", "stalls")
NOT_PROMISED = (smtplib.SMTPException, poplib.error_proto, OSError, subprocess.SubprocessError)


class Load:
    """Threads that ask for things until over is set. pause: the mean of seconds between two things an actor does.
    parts: which actors, USUAL if None; one may be there twice. kinds: of messages; programs: to send with; verbs: what
    is done by hand; domains: of new accounts; None for all."""

    def __init__(self, place, book, pause=0.08, parts=None, kinds=None, programs=None, verbs=None, domains=None):
        self.world, self.ledger, self.pause, self.kinds = place, book, pause, kinds or ledger.KINDS
        self.programs, self.verbs, self.domains = programs, verbs, domains
        self.over, self.troubles, self.generation = threading.Event(), [], 0
        self.threads = [threading.Thread(target=self.act, args=(name, ACTORS[name])) for name in parts or USUAL]
        # what the actors made and did not remove yet; users stay
        self.users, self.leaving, self.made, self.aliases = collections.deque(maxlen=8), *(
            collections.deque() for _ in range(3))

    def __enter__(self):
        self.host = far.FarHost(lambda number: self.ledger.far.append((number, time.monotonic())))
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.host.shutdown()

    def act(self, name, actor):
        while not self.over.is_set():
            try:
                actor(self)
            except NOT_PROMISED as why:
                self.troubles.append(f"{name}: {why!r}")
            self.over.wait(random.expovariate(1 / self.pause))
