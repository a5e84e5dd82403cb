"""A run: rounds of one work after the other, each peer's in turn.

A work says what a round is (`round`), what is ready before (`ready`), and which of a round's figures are judged
(`parts`). Machines are noisy: peers take turns within a round, the ratio of a round is what counts, and of the
ratios the median.
"""
import contextlib
import math
import os
import time

from . import load
from .peers.cqmail import CQmail
from .peers.dovecot import Dovecot
from .peers.postfix import Postfix
from .peers.pyqmail import ROOT, Pyqmail
from .place import People, empty

OURS = "pyqmail"


class Part:
    """One figure of a round, by its `key`. bar, hope: of the ratio to the peer, or of our own figure if `absolute`.
    A hope may be words. less: less is better, and the ratio is the other way round."""

    def __init__(self, key, title, unit, bar=None, hope=None, *, less=False, absolute=False):
        self.key, self.title, self.unit, self.bar, self.hope = key, title, unit, bar, hope
        self.less, self.absolute = less, absolute

    def ratio(self, ours, theirs):
        """Above 1: we are better."""
        better, worse = (theirs, ours) if self.less else (ours, theirs)
        return better / worse if worse else math.inf        # what was too little to be measured


class Work:
    """`name`: as the command line has it; `against`: the peer beside us, None if there is none."""

    name, title, against, parts = "", "", "postfix", ()
    with_c_qmail = True
    rounds = None                       # so many at most, where rounds would tell nothing new

    @contextlib.contextmanager
    def ready(self, bench):
        yield

    def round(self, bench, peer):
        """{key: figure} of one peer. Raises load.Failed."""
        raise NotImplementedError


class Bench:
    """The peers of a run, made when they are first needed; `full`: the real amounts, not the smallest; `source`: the
    checkout that is measured."""

    def __init__(self, place, full=True, source=ROOT, c_qmail=None, tell=print):
        self.place, self.full, self.source, self.c_qmail, self.tell = place, full, source, c_qmail, tell
        self.people, self._peers = People(place), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self._peers.values():
            with contextlib.suppress(load.Failed):
                peer.stop()

    def peer(self, name):
        """The peer, running."""
        if name not in self._peers:
            self.tell(f"setting up {name}")
            make = {"pyqmail": lambda: Pyqmail(self.place, self.source), "postfix": lambda: Postfix(self.place),
                    "dovecot": lambda: Dovecot(self.place), "c-qmail": lambda: CQmail(self.place, self.c_qmail)}
            self.add(make[name]())
        return self._peers[name]

    def add(self, peer):
        peer.start()
        self._peers[peer.name] = peer

    def peers(self, work):
        names = [OURS, work.against, CQmail.name if self.c_qmail and work.with_c_qmail else None]
        return [self.peer(name) for name in names if name]

    def amount(self, full, smallest):
        return full if self.full else smallest

    def versions(self):
        return {name: peer.version for name, peer in self._peers.items() if peer.version}

    def run(self, work, rounds):
        """[{peer: {key: figure}}, …]"""
        peers, found = self.peers(work), []
        with work.ready(self):
            for number in range(min(rounds, work.rounds or rounds)):
                order, figures = peers[number % len(peers):] + peers[:number % len(peers)], {}
                for peer in order:
                    figures[peer.name] = work.round(self, peer)
                    settle(peer)
                found.append({peer.name: figures[peer.name] for peer in peers})
                self.tell(f"{work.name} round {number + 1}: {line(work, found[-1])}")
        return found


def settle(peer):
    """What a round has left behind belongs to that round: an empty queue, and the disk at rest."""
    if peer.smtp:
        load.until(lambda: peer.queued() == 0, f"{peer.name}'s queue to become empty")
    os.sync()


def line(work, figures):
    told = []
    for part in work.parts:
        values = [f"{name} {found[part.key]:.4g}" for name, found in figures.items() if part.key in found]
        ratio = part.ratio(figures[OURS][part.key], figures[work.against][part.key]) if work.against else None
        told.append(f"{part.title}: {', '.join(values)} {part.unit}" + (f", ratio {ratio:.2f}" if ratio else ""))
    return "; ".join(told)


@contextlib.contextmanager
def arriving(people):
    """Arrivals in emptied Maildirs, which are emptied again afterwards."""
    empty(people)
    with load.Arrivals(people) as arrivals:
        yield arrivals
    empty(people)


class Clock:
    """Seconds since it was made."""

    def __init__(self):
        self.start = time.monotonic()

    def __call__(self):
        return time.monotonic() - self.start
