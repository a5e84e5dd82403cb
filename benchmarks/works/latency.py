"""9: how long an accepted message takes to its Maildir, when nothing else is to be done."""
import math
import statistics
import time

from .. import load
from ..bench import Part, Work, arriving
from ..peers import DOMAIN

PERSON = "bench"
PAUSE = 0.02                            # s between messages: the system shall be idle


class Latency(Work):
    name, title = "9", "latency SMTP 250 → file in new/, idle system"
    parts = [Part("median", "median", "ms", 1.0, 1.5, less=True),
             Part("late", "99th percentile", "ms", 1.0, 1.5, less=True)]

    def round(self, bench, peer):
        took = []
        with arriving(bench.people.get(PERSON)) as arrivals:
            for _ in range(bench.amount(100, 10)):
                time.sleep(PAUSE)
                took.append(1000 * load.latency(peer.smtp, f"{PERSON}@{DOMAIN}", arrivals))
        return {"median": statistics.median(took), "late": percentile(took, 0.99), "samples": took}


def percentile(values, part):
    """The value that `part` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
