"""1 and 2: SMTP to Maildir, 2 KB, 20 sessions at once."""
import time

from .. import load, processes
from ..bench import Clock, Part, Work, arriving
from ..peers import DOMAIN

PERSON = "bench"


def deliver(bench, peer, messages, *, each=lambda: None, **options):
    """Messages a second until they are accepted, and until they are in new/; ms of processor time for each."""
    people = bench.people.get(PERSON)
    with arriving(people) as arrivals:
        usage, clock = processes.Usage(peer.program), Clock()
        source = load.source(peer.smtp, f"{PERSON}@{DOMAIN}", messages, **options)
        try:
            while source.poll() is None:            # so that the kernel's list of arrivals does not run over
                each()
                arrivals.look()
                time.sleep(load.INTERVAL)
            accepted = clock()
            load.sent(source)
            arrivals.wait(messages, each)
            took = clock()
        finally:
            source.kill()
        return {"rate": messages / took, "accepted": messages / accepted, "cpu": usage.total() / messages}


class Deliveries(Work):
    def __init__(self, name, keep):
        self.name, self.keep = name, keep
        self.title = f"SMTP → Maildir, 2 KB, 20 parallel, {'connections kept' if keep else 'new connection each'}"
        self.parts = [Part("rate", "delivered", "messages/s", 1.0, 1.5)]
        if not keep:
            self.parts.append(Part("cpu", "processor time", "ms/message", 1.7, None, less=True, absolute=True))

    def round(self, bench, peer):
        return deliver(bench, peer, bench.amount(2000, 60), keep=self.keep)
