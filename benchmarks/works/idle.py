"""11: memory of all daemons, when they have nothing to do."""
import contextlib
import time

from .. import processes
from ..bench import Part, Work, settle
from .smtp_to_maildir import deliver

REST = 2                                # s after the start


class Idle(Work):
    name, title, rounds = "11", "idle memory of all daemons (PSS)", 1
    parts = [Part("started", "after the start", "MB", 100, 60, less=True, absolute=True),
             Part("used", "after work 1", "MB", less=True, absolute=True)]

    @contextlib.contextmanager
    def ready(self, bench):
        for peer in bench.peers(self) if bench.full else ():
            peer.stop()
            peer.start()
        time.sleep(bench.amount(REST, 0))
        yield

    def round(self, bench, peer):
        started = processes.memory(peer.program)
        deliver(bench, peer, bench.amount(1000, 20))
        settle(peer)
        return {"started": started, "used": processes.memory(peer.program)}
