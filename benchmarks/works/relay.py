"""3 and 4: SMTP to another host, a fast one and a slow one."""
import contextlib

from .. import load, processes
from ..bench import Clock, Part, Work
from ..peers import REMOTE, SINK


def relay(peer, sink, messages, **options):
    """Messages a second until the sink has them."""
    sink.begin()
    peak, usage, clock = processes.Peak(peer.program), processes.Usage(peer.program), Clock()
    load.sent(load.source(peer.smtp, "someone@far.example", messages, **options))
    accepted = clock()
    sink.wait(messages)
    took = clock()
    return {"rate": messages / took, "accepted": messages / accepted, "cpu": usage.total() / messages,
            "peak": peak.look()}


class Relay(Work):
    name, title = "3", "SMTP → relay to smtp-sink, 2 KB, 20 parallel"
    parts = [Part("rate", "relayed", "messages/s", 1.0, 1.5)]

    @contextlib.contextmanager
    def ready(self, bench):
        with load.Sink(bench.place, SINK) as self.sink:
            yield

    def round(self, bench, peer):
        return relay(peer, self.sink, bench.amount(2000, 60))


class Slow(Work):
    """Each peer with as many sessions as it may have by design: 1,000 in one process here; a process each in Postfix
    (100 of them is its default limit), and 255 in C qmail."""

    name, title = "4", "relay to a slow sink (1 s before the answer to DATA)"
    parts = [Part("rate", "relayed", "messages/s", 3, "what the sink allows")]
    sessions = {"pyqmail": 1000, "postfix": 100, "c-qmail": 255}

    @contextlib.contextmanager
    def ready(self, bench):
        for peer in bench.peers(self):
            peer.use(remote=self.sessions[peer.name])
        with load.Sink(bench.place, SINK, delay=1, sessions=1100) as self.sink:
            yield
        for peer in bench.peers(self):
            peer.use(remote=REMOTE)

    def round(self, bench, peer):
        return relay(peer, self.sink, bench.amount(2000, 60))
