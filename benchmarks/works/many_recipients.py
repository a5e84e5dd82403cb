"""5: one message to very many recipients: at one other host, and to people of this one, each with a uid."""
import contextlib

from .. import load
from ..bench import Clock, Part, Work, arriving
from ..peers import DOMAIN, SINK

PERSON = "many"


class ManyRecipients(Work):
    name, title = "5", "one message to 10,000 recipients at one remote host; one to 1,000 local users"
    parts = [Part("remote", "remote", "recipients/s", 1.0, 1.5), Part("local", "local", "recipients/s", 1.0, 1.5)]

    @contextlib.contextmanager
    def ready(self, bench):
        self.remote, self.local = bench.amount(10_000, 50), bench.amount(1000, 20)
        self.people = bench.people.get(*load.recipients(PERSON, self.local))
        with load.Sink(bench.place, SINK) as self.sink:
            yield

    def round(self, bench, peer):
        return {"remote": self.to_remote(peer), "local": self.to_local(peer)}

    def to_remote(self, peer):
        """Until the queue is empty: how many recipients share a session at the sink is the peer's affair."""
        self.sink.begin()
        clock = Clock()
        load.sent(load.source(peer.smtp, "someone@far.example", 1, recipients=self.remote))
        load.until(lambda: self.sink.messages() > self.sink.begun and peer.queued() == 0, "an empty queue",
                   interval=0.02)
        return self.remote / clock()

    def to_local(self, peer):
        with arriving(self.people) as arrivals:
            clock = Clock()
            load.sent(load.source(peer.smtp, f"{PERSON}@{DOMAIN}", 1, recipients=self.local))
            arrivals.wait(self.local)
            return self.local / clock()
