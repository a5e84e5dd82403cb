"""6: large messages."""
from .. import processes
from ..bench import Part, Work
from .smtp_to_maildir import deliver

SIZE = 20_000_000


class Large(Work):
    """40 in a round: 200 in the five of a run."""

    name, title = "6", "messages of 20 MB, SMTP → Maildir, 10 parallel, 40 a round"
    parts = [Part("megabytes", "delivered", "MB/s", 1.0, "disk speed"),
             Part("peak", "peak of one process", "MB", 64, less=True, absolute=True)]

    def round(self, bench, peer):
        messages, size = bench.amount(40, 2), bench.amount(SIZE, SIZE // 10)
        peak = processes.Peak(peer.program)
        found = deliver(bench, peer, messages, size=size, sessions=10, each=peak.watch)
        return {**found, "megabytes": found["rate"] * size / 1e6, "peak": peak.look()}
