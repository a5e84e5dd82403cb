"""The ledger of the promises: what was said yes to, when it was asked for and when the yes came.

Three kinds of entries, all with "asked" and "given" (times on the machine's monotonic clock; None: not yet):

- messages: where each must be found, and how it gets there. "then" is what was done to it by hand later, each an
  entry with places of its own;
- states: what a program has changed, as (what, name) and a value: an account and its password, a domain, an alias, a
  table (see states.py). Whoever changes one of a (what, name) waits for the answer before it is changed again;
- taken: what a reader took away.
"""
import collections
import json
import random
import re
import threading
import time

from tests.powercut import world

#                     what becomes of it: where, how, and the address that must be named there
Expected = collections.namedtuple("Expected", "place how mention", defaults=("",))
KINDS = ("maildir", "virtual", "fetched", "fetched", "fetched by system", "moved", "mbox", "forward", "list", "far",
         "bounce", "far bounce", "double bounce", "later", "half", "many")
LENGTHS = (0, 1, 40, 40, 40, 400, 4000)     # lines of filling
FILLING = b"All that was promised must be there when the light comes on again.\n"
WAITING = "later-"                          # senders of messages that stay in the queue


def message(number):
    """The text: it begins and ends with its number, so that a part of it shows."""
    return b"Subject: message\nPromise: %d\n\n%bend of %d\n" % (number, FILLING * random.choice(LENGTHS), number)


def promised(text):
    """The number of the message that is in this text, and whether all of it is there; (None, False) without one."""
    found = re.search(rb"^Promise: (\d+)\r?$", text, re.MULTILINE)
    if not found:
        return None, False
    return int(found[1]), re.search(rb"^end of %b\r?$" % found[1], text, re.MULTILINE) is not None


def envelope(kind, number):
    """(sender, recipients, [Expected]) of a message of this kind."""
    sue, joe = f"sue@{world.DOMAIN}", f"joe@{world.DOMAIN}"
    nobody, far = f"nobody-{number}@{world.DOMAIN}", f"taken-{number}@{world.REMOTE}"
    refused, virtual = f"refused-{number}@{world.REMOTE}", random.choice(world.RECEIVERS)
    fetched, later = random.choice(world.READERS), f"{WAITING}{number}@{world.DOMAIN}"
    return {
        "maildir": (sue, [joe], [Expected("joe", "maildir")]),
        "virtual": (sue, [f"{virtual}@{world.VIRTUAL}"], [Expected(f"virtual/{virtual}", "virtual")]),
        "fetched": (sue, [f"{fetched}@{world.VIRTUAL}"], [Expected(f"virtual/{fetched}", "virtual")]),
        "fetched by system": (sue, [f"{world.SYSTEM_READER}@{world.DOMAIN}"],
                              [Expected(world.SYSTEM_READER, "maildir")]),
        "moved": (sue, [f"{world.MOVER}@{world.DOMAIN}"], [Expected(world.MOVER, "moved")]),
        "mbox": (sue, [f"mike@{world.DOMAIN}"], [Expected("mike", "mbox")]),
        "forward": (sue, [f"fred@{world.DOMAIN}"], [Expected("joe", "forward")]),
        "list": (sue, [f"lisa@{world.DOMAIN}"], [Expected("lisa", "several"), Expected("joe", "forward"),
                                                 Expected("sue", "forward")]),
        "far": (sue, [far], [Expected("far", "remote")]),
        "bounce": (sue, [nobody], [Expected("sue", "bounce", nobody)]),
        "far bounce": (sue, [refused], [Expected("sue", "bounce", refused)]),
        "double bounce": (f"nobody-else@{world.DOMAIN}", [nobody], [Expected("alias", "double bounce", nobody)]),
        "later": (later, [f"later@{world.DOMAIN}"], [Expected("queue", "queued")]),
        "half": (later, [nobody, f"{WAITING}{number}@{world.REMOTE}"], [
            Expected("queue", "queued"), Expected("bounces", "bounce kept", nobody)]),
        "many": (sue, [joe, f"{virtual}@{world.VIRTUAL}", far, f"mike@{world.DOMAIN}", nobody], [
            Expected("joe", "maildir"), Expected(f"virtual/{virtual}", "virtual"), Expected("far", "remote"),
            Expected("mike", "mbox"), Expected("sue", "bounce", nobody)]),
    }[kind]


class Ledger:
    """messages: {number: entry}; states: [entry]; taken: [entry]; far: [(number, time)] (what the remote host took)."""

    def __init__(self):
        self.messages, self.states, self.taken, self.far = {}, [], [], []
        self.numbers, self.changed, self.given = 0, threading.Condition(), 0

    def message(self, kind, by):
        """(number, entry) of a new one, nothing of it known yet."""
        with self.changed:
            self.numbers += 1
            self.messages[self.numbers] = entry = {"kind": kind, "by": by, "expected": [], "then": [],
                                                   "asked": None, "given": None}
            return self.numbers, entry

    def then(self, number, program, expected):
        """The entry of what is done to a message by hand; asked for now."""
        entry = {"program": program, "expected": expected, "asked": time.monotonic(), "given": None}
        self.messages[number]["then"].append(entry)
        return entry

    def state(self, program, what, name, value):
        """The entry of a change; asked for now. value: of JSON; None: it is not there."""
        entry = {"program": program, "what": what, "name": name, "value": value, "asked": time.monotonic(),
                 "given": None}
        self.states.append(entry)
        return entry

    def take(self, by, place, numbers):
        """The entry of a reader who takes messages away; asked for now."""
        entry = {"by": by, "place": place, "numbers": numbers, "asked": time.monotonic(), "given": None}
        self.taken.append(entry)
        return entry

    def ask(self, entry):
        entry["asked"] = time.monotonic()

    def give(self, entry):
        with self.changed:
            entry["given"] = time.monotonic()
            self.given += 1
            self.changed.notify_all()

    def wait_given(self, seconds):
        """Wait for the next promise."""
        with self.changed:
            before = self.given
            self.changed.wait_for(lambda: self.given != before, seconds)

    def dump(self, path):
        with open(path, "w", encoding="ascii") as f:
            json.dump({name: getattr(self, name) for name in ("messages", "states", "taken", "far")}, f)


def acceptable(first, steps, cut):
    """What may be after a cut: [first] and what each of the steps (entries, in their order) makes of it. Each is
    (value, whether somebody was told that it is so)."""
    found = [first]
    for step, value in steps:
        if step["asked"] is not None and step["asked"] <= cut["end"]:
            given = step["given"] is not None and step["given"] <= cut["begin"]
            found = ([] if given else found) + [value]
    return found
