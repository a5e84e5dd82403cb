"""After a power cut: is everything there that had been promised? What is on the disk, and what the ledger says."""
import collections
import os
import re
import sqlite3

from pyqmail.base.errors import Temporary
from tests.powercut import states, world
from tests.powercut.ledger import WAITING, acceptable, promised
from tests.powercut.states import contents

ONCE = ("maildir", "virtual", "several")       # how a message comes into a Maildir without another being made of it
SEPARATOR = re.compile(rb"^From .*\n", re.MULTILINE)


class Found:
    """What lies on the disk of a World once the queue is finished. copies: {place: {number: [text, …]}};
    damaged: paths of messages that are not whole; far: numbers that the remote host took after the cut."""

    def __init__(self, place, far):
        self.world = place
        self.copies = collections.defaultdict(lambda: collections.defaultdict(list))
        self.damaged = []
        for user in world.USERS:
            self.maildir(user, f"{place.homes}/{user}/Maildir")
        self.maildir("alias", f"{place.home}/alias/Maildir")
        self.mbox("mike", f"{place.homes}/mike/Mailbox")
        self.mbox(world.MOVER, f"{place.homes}/{world.MOVER}/Mailbox")
        self.maildir(world.MOVER, place.spool)
        self.virtual(f"{place.vpop}/domains/{world.VIRTUAL}")
        self.queue()
        for number in far:
            self.copies["far"][number].append(b"")

    def keep(self, place, path, text):
        number, whole = promised(text)
        if whole:
            self.copies[place][number].append(text)
        else:
            self.damaged.append(path)

    def maildir(self, place, path):
        for part in ("new", "cur"):
            for name in os.listdir(f"{path}/{part}"):
                self.keep(place, f"{path}/{part}/{name}", contents(f"{path}/{part}/{name}"))

    def virtual(self, directory):
        for path, names, _ in os.walk(directory):
            names[:] = [name for name in names if not name.startswith(".")]     # a user being made, or deleted
            if "Maildir" in names:
                names.clear()
                self.maildir(f"virtual/{os.path.basename(path)}", f"{path}/Maildir")

    def mbox(self, place, path):
        if os.path.exists(path):
            for text in SEPARATOR.split(contents(path))[1:]:
                self.keep(place, path, text)

    def queue(self):
        for path, _, names in os.walk(f"{self.world.home}/queue/info"):
            for name in names:
                sender = re.match(rb"F%b(\d+)@" % WAITING.encode(), contents(f"{path}/{name}"))
                channels = [path.replace("/info/", f"/{channel}/") + f"/{name}" for channel in ("local", "remote")]
                to_do = [contents(channel) for channel in channels if os.path.exists(channel)]
                if sender and b"Tlater" in b"".join(to_do):
                    path_of_text = path.replace("/info/", "/mess/") + f"/{name}"
                    self.keep("queue", path_of_text, contents(path_of_text))
                    if os.path.exists(f"{self.world.home}/queue/bounce/{name}"):
                        self.copies["bounces"][int(sender[1])].append(
                            contents(f"{self.world.home}/queue/bounce/{name}"))


def unfinished(home, over=(), apart=False):
    """What the queue has besides messages that must wait: paths. over: numbers of messages that need not wait any more.
    apart: info is on another file system than mess, whose removal may have got to the disk sooner.
    A message is in todo before the one it comes from is gone from info, and in info before it is gone from todo: so
    info is looked at on both sides."""
    queue = f"{home}/queue"

    def in_info():
        for path, _, names in os.walk(f"{queue}/info"):
            for name in names:
                local = path.replace("/info/", "/local/") + f"/{name}"
                if apart and not os.path.exists(path.replace("/info/", "/mess/") + f"/{name}"):
                    continue
                waits = re.match(rb"F%b(\d+)@" % WAITING.encode(), states.there(f"{path}/{name}"))
                if not waits or int(waits[1]) in over:
                    yield f"{path}/{name}"
                elif b"Tnobody" in states.there(local):         # the half of it that fails
                    yield local
    def in_todo():
        for name in os.listdir(f"{queue}/todo"):
            # held by a deletion that the cut broke off: it stays so, as it would if qmailctl had been killed
            if int(name) not in held or b"F%b" % WAITING.encode() not in states.there(f"{queue}/todo/{name}"):
                yield f"{queue}/todo/{name}"
    held = states.set_aside(home)
    return list(in_info()) or list(in_todo()) or list(in_info())


def over(ledger, cut):
    """The numbers of messages whose time was up before a cut."""
    return {int(number) for number, entry in ledger["messages"].items()
            if entry["then"] and not waits(ways(entry, cut))}


def waits(found):
    return any(place == "queue" for expected in found for place, *_ in expected)


def ways(entry, cut):
    """What may have become of a message: lists of Expected."""
    return acceptable(entry["expected"], [(step, step["expected"]) for step in entry["then"]], cut)


def told(entry, cut):
    return entry["given"] is not None and entry["given"] <= cut["begin"]


def judge(ledger, cut, found):
    """What became of the promises of a cut: a dict with counters, and lists of what is wrong.

    cut: "begin" and "end", between which the copy was made. A promise given before the beginning must be kept. What
    was asked for before the end may have happened.
    """
    verdict = {"promised": collections.Counter(), "expected": collections.Counter(), "twice": collections.Counter(),
               "broken": collections.Counter(), "lost": [],
               "damaged": [f"{path}: {os.path.getsize(path)} bytes" for path in found.damaged],
               "again": [], "back": 0}
    taken = collections.Counter()
    for entry in ledger["taken"]:
        if entry["asked"] <= cut["end"]:
            given = told(entry, cut)
            verdict["promised"][entry["by"]] += given and bool(entry["numbers"])
            for number in entry["numbers"]:
                taken[entry["place"], number] += 1
                verdict["back"] += given and bool(found.copies[entry["place"]][number])
    for number, when in ledger["far"]:
        if when <= cut["end"]:
            taken["far", number] += 1
    for number, entry in ledger["messages"].items():
        if entry["asked"] is not None and entry["asked"] <= cut["end"]:
            judge_message(int(number), entry, cut, found, taken, verdict)
    judge_states(ledger, cut, found.world, verdict)
    return verdict


def judge_message(number, entry, cut, found, taken, verdict):
    given, possible = told(entry, cut), ways(entry, cut)
    verdict["promised"][entry["by"]] += given
    for step in entry["then"]:
        verdict["promised"][step["program"]] += told(step, cut)
    missing = [[what for place, how, mention in expected
                for what in lacks(number, place, mention, found, taken)] for expected in possible]
    before = len(verdict["lost"])
    if given and all(missing):
        verdict["lost"] += [f"message {number}: {entry['kind']} by {entry['by']}, {what}" for what in missing[-1]]
    if possible == [[]]:
        verdict["lost"] += [f"message {number}: {entry['kind']} by {entry['by']}, was deleted, but is in {place}"
                            for place, copies in found.copies.items() if copies.get(number)]
    if len(verdict["lost"]) > before:
        verdict["broken"][next((step["program"] for step in reversed(entry["then"]) if told(step, cut)),
                               f"{entry['by']} ({entry['kind']})")] += 1
    for place, how, _ in possible[-1]:
        copies = len(found.copies[place][number]) + taken[place, number]
        verdict["expected"][how] += given
        verdict["twice"][how] += max(0, copies - 1)
        if how in ONCE and len(found.copies[place][number]) > 1:
            verdict["again"].append(f"message {number}: {entry['kind']} by {entry['by']}, {copies} in {place}")


def lacks(number, place, mention, found, taken):
    """What is wrong with the copies of a message in a place."""
    texts = found.copies[place][number]
    if not texts and not taken[place, number]:
        yield f"not in {place}"
    for text in texts:
        if mention and f"<{mention}>:\n".encode() not in text:
            yield f"the bounce does not say that {mention} failed"


def judge_states(ledger, cut, place, verdict):
    """Each place that knows of it must say what was promised last, or what was asked for since."""
    changes = collections.defaultdict(list)
    for entry in sorted(ledger["states"], key=lambda entry: entry["asked"]):
        if entry["asked"] <= cut["end"]:
            changes[entry["what"], entry["name"]].append(entry)
            verdict["promised"][entry["program"]] += told(entry, cut)
    for (what, name), entries in changes.items():
        values = acceptable(states.initially(what, name), [(entry, entry["value"]) for entry in entries], cut)
        try:
            said = states.look(place, what, name)
        except (OSError, Temporary, sqlite3.Error) as why:
            verdict["lost"].append(f"{what} {name}: {why!r}")
            verdict["broken"][entries[-1]["program"]] += 1
            continue
        for where, value in said.items():
            if not any(states.fits(each, value) for each in values):
                verdict["lost"].append(f"{what} {name}: {entries[-1]['program']}, and {where} says {value!r}")
                verdict["broken"][entries[-1]["program"]] += 1
