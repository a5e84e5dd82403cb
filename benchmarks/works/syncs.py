"""How often a message waits for the disk, on its way from SMTP to a Maildir: alone, and among others."""
from .. import load, strace
from ..bench import Part, Work
from .smtp_to_maildir import deliver


class Syncs(Work):
    """fsync and its like, counted by strace: each needs a commit of the file system's journal, unless one that is under
    way is enough."""

    name, title, rounds = "syncs", "waits for the disk, SMTP → Maildir", 1
    parts = [Part("alone", "one message at a time", "a message", 3, less=True, absolute=True),
             Part("together", "20 parallel", "a message", less=True, absolute=True)]

    def round(self, bench, peer):
        return {"alone": self.count(bench, peer, bench.amount(50, 5), 1),
                "together": self.count(bench, peer, bench.amount(500, 20), 20)}

    @staticmethod
    def count(bench, peer, messages, sessions):
        with strace.Strace(peer, bench.place) as traced:
            deliver(bench, peer, messages, sessions=sessions)
            load.until(lambda: peer.queued() == 0, "an empty queue")
        return sum(calls[name] for calls in traced.counts().values() for name in strace.COMMITS) / messages
