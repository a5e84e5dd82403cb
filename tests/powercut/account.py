"""After a power cut: is everything there that had been promised? What is on the disk, and what the ledger says."""
import collections
import os
import re

from pyqmail.auth import hashes
from pyqmail.base import cdb
from pyqmail.base.errors import Temporary
from tests.powercut import world
from tests.powercut.load import promised

ONCE = ("maildir", "virtual", "several")       # how a message comes into a Maildir without another being made of it
SEPARATOR = re.compile(rb"^From .*\n", re.MULTILINE)


def contents(path):
    with open(path, "rb") as f:
        return f.read()


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
                sender = re.match(rb"Flater-(\d+)@", contents(f"{path}/{name}"))
                channels = [path.replace("/info/", f"/{channel}/") + f"/{name}" for channel in ("local", "remote")]
                to_do = [contents(channel) for channel in channels if os.path.exists(channel)]
                if sender and b"Tlater" in b"".join(to_do):
                    path_of_text = path.replace("/info/", "/mess/") + f"/{name}"
                    self.keep("queue", path_of_text, contents(path_of_text))
                    if os.path.exists(f"{self.world.home}/queue/bounce/{name}"):
                        self.copies["bounces"][int(sender[1])].append(
                            contents(f"{self.world.home}/queue/bounce/{name}"))


def finished(home):
    """True when the queue has nothing but messages that must wait. A message is in todo before the one it comes
    from is gone from info, and in info before it is gone from todo: so info is looked at on both sides."""
    queue = f"{home}/queue"

    def only_later():
        for path, _, names in os.walk(f"{queue}/info"):
            for name in names:
                try:
                    if not contents(f"{path}/{name}").startswith(b"Flater-"):
                        return False
                except FileNotFoundError:
                    pass
                local = path.replace("/info/", "/local/") + f"/{name}"
                if os.path.exists(local) and b"Tnobody" in contents(local):
                    return False                # the half of it that fails
        return True
    return only_later() and not os.listdir(f"{queue}/todo") and only_later()


def judge(ledger, cut, found):
    """What became of the promises of a cut: a dict with counters, and lists of what is wrong.

    cut: "begin" and "end", between which the copy was made. A promise given before the beginning must be kept. What
    was asked for before the end may have happened.
    """
    verdict = {"promised": collections.Counter(), "expected": collections.Counter(), "twice": collections.Counter(),
               "lost": [], "damaged": [f"{path}: {os.path.getsize(path)} bytes" for path in found.damaged],
               "again": [], "back": 0}
    taken = collections.Counter()
    for entry in ledger["taken"]:
        if entry["asked"] is not None and entry["asked"] <= cut["end"]:
            for number in entry["numbers"]:
                taken[entry["place"], number] += 1
                if entry["given"] is not None and entry["given"] <= cut["begin"]:
                    verdict["back"] += bool(found.copies[entry["place"]][number])
    for number, when in ledger["far"]:
        if when <= cut["end"]:
            taken["far", number] += 1
    for number, entry in ledger["messages"].items():
        number = int(number)
        if entry["asked"] is None or entry["asked"] > cut["end"]:
            continue
        given = entry["given"] is not None and entry["given"] <= cut["begin"]
        if given:
            verdict["promised"][entry["by"]] += 1
        for place, how, mention in entry["expected"]:
            texts = found.copies[place][number]
            copies = len(texts) + taken[place, number]
            verdict["expected"][how] += given
            if given and not copies:
                verdict["lost"].append(f"message {number}: {entry['kind']} by {entry['by']}, not in {place}")
            if copies > 1:
                verdict["twice"][how] += copies - 1
            if len(texts) > 1 and how in ONCE:
                verdict["again"].append(f"message {number}: {entry['kind']} by {entry['by']}, {len(texts)} in {place}")
            for text in texts:
                if mention and f"<{mention}>:\n".encode() not in text:
                    verdict["lost"].append(f"message {number}: the bounce does not say that {mention} failed")
    verdict["promised"]["pop3"] = sum(entry["given"] is not None and entry["given"] <= cut["begin"]
                                      and bool(entry["numbers"]) for entry in ledger["taken"])
    judge_accounts(ledger, cut, found.world, verdict)
    return verdict


def judge_accounts(ledger, cut, place, verdict):
    domain = os.fsencode(f"{place.vpop}/domains/{world.VIRTUAL}")
    states = {name: [world.PASSWORD] for name in world.RECEIVERS}       # what the password may be
    for entry in sorted((entry for entry in ledger["accounts"] if entry["asked"] is not None),
                        key=lambda entry: entry["asked"]):
        if entry["asked"] > cut["end"]:
            continue
        given = entry["given"] is not None and entry["given"] <= cut["begin"]
        verdict["promised"][entry["program"]] += given
        if entry["program"] == "vadddomain":
            if given:
                verdict["lost"] += [f"domain {entry['name']}: {why}"
                                    for why in domain_lacks(place, entry["name"], verdict)]
        else:
            states[entry["name"]] = ([] if given else states.get(entry["name"], [None])) + [entry["value"]]
    known = {line.split(b":")[0]: line for line in contents(domain + b"/vpasswd").splitlines()}
    database = records(domain + b"/vpasswd.cdb", verdict)
    for name, passwords in states.items():
        line, record = known.get(name.encode()), database.get(name.encode())
        for where, text in (("vpasswd", line and line.split(b":")[1]), ("vpasswd.cdb", record and hash_of(record))):
            if text is None and None not in passwords:
                verdict["lost"].append(f"account {name}: not in {where}")
            elif text is not None and not any(password and hashes.matches(password.encode(), text)
                                              for password in passwords):
                verdict["lost"].append(f"account {name}: an old password in {where}")


def hash_of(record):
    """The password hash in a record of vpasswd.cdb."""
    return re.search(rb"\$1\$[^\0:]+", record)[0]


def records(path, verdict):
    """What a database holds; nothing if it is broken, and then that is a loss."""
    try:
        return cdb.read(path)
    except (OSError, Temporary) as why:
        verdict["lost"].append(f"{os.fsdecode(path)}: {why}")
        return {}


def domain_lacks(place, name, verdict):
    """Where a virtual domain is missing."""
    wanted = f"{name}:{name}\n".encode()
    if wanted not in contents(f"{place.home}/control/virtualdomains"):
        yield "not in virtualdomains"
    if f"{name}\n".encode() not in contents(f"{place.home}/control/rcpthosts"):
        yield "not in rcpthosts"
    if f"+{name}-:{name}:".encode() not in contents(f"{place.home}/users/assign"):
        yield "not in users/assign"
    if records(f"{place.home}/users/cdb", verdict).get(f"!{name}-".encode()) is None:
        yield "not in users/cdb"
    try:
        if b"postmaster:" not in contents(f"{place.vpop}/domains/{name}/vpasswd"):
            yield "postmaster not in vpasswd"
        if not contents(f"{place.vpop}/domains/{name}/.qmail-default"):
            yield "nothing in .qmail-default"
    except FileNotFoundError as why:
        yield f"no {why.filename}"
