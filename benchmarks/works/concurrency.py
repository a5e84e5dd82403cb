"""Throughput of work 1 over the number of sessions: a plot."""
from ..bench import Part, Work
from .smtp_to_maildir import deliver

SESSIONS = (1, 2, 5, 10, 20, 50, 100)


class Concurrency(Work):
    name, title, rounds = "concurrency", "SMTP → Maildir over the number of sessions", 2
    parts = [Part(str(sessions), f"{sessions} parallel", "messages/s") for sessions in SESSIONS]

    def round(self, bench, peer):
        return {str(sessions): deliver(bench, peer, amount(bench, sessions), sessions=sessions)["rate"]
                for sessions in SESSIONS}


def amount(bench, sessions):
    """Few sessions are slow: as many messages as tell enough."""
    return bench.amount(min(1000, 100 + 40 * sessions), max(sessions, 2))
