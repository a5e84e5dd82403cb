"""The load: everything that leaves a promise behind, and the ledger of the promises.

A promise is 250 to the text of a message, exit 0 of sendmail, +OK to POP3's QUIT, exit 0 of a program that changes
accounts. The ledger says for each when it was asked for and when it was given, on the machine's monotonic clock.
"""
import collections
import json
import os
import poplib
import random
import re
import signal
import smtplib
import socketserver
import subprocess
import threading
import time

from tests.powercut import world

#                     what becomes of it: where, how, and the address that must be named there
Expected = collections.namedtuple("Expected", "place how mention", defaults=("",))
KINDS = ("maildir", "virtual", "fetched", "fetched", "mbox", "forward", "list", "far", "bounce",
         "far bounce", "double bounce", "later", "half", "many")
LENGTHS = (0, 1, 40, 40, 40, 400, 4000)     # lines of filling
FILLING = b"All that was promised must be there when the light comes on again.\n"


def message(number):
    """The text: it begins and ends with its number, so that a part of it shows."""
    return b"Subject: message\nPromise: %d\n\n%bend of %d\n" % (number, FILLING * random.choice(LENGTHS), number)


def envelope(kind, number):
    """(sender, recipients, [Expected]) of a message of this kind."""
    sue, joe = f"sue@{world.DOMAIN}", f"joe@{world.DOMAIN}"
    nobody, far = f"nobody-{number}@{world.DOMAIN}", f"taken-{number}@{world.REMOTE}"
    refused, virtual = f"refused-{number}@{world.REMOTE}", random.choice(world.RECEIVERS)
    fetched = random.choice(world.READERS)
    return {
        "maildir": (sue, [joe], [Expected("joe", "maildir")]),
        "virtual": (sue, [f"{virtual}@{world.VIRTUAL}"], [Expected(f"virtual/{virtual}", "virtual")]),
        "fetched": (sue, [f"{fetched}@{world.VIRTUAL}"], [Expected(f"virtual/{fetched}", "virtual")]),
        "mbox": (sue, [f"mike@{world.DOMAIN}"], [Expected("mike", "mbox")]),
        "forward": (sue, [f"fred@{world.DOMAIN}"], [Expected("joe", "forward")]),
        "list": (sue, [f"lisa@{world.DOMAIN}"], [Expected("lisa", "several"), Expected("joe", "forward"),
                                                 Expected("sue", "forward")]),
        "far": (sue, [far], [Expected("far", "remote")]),
        "bounce": (sue, [nobody], [Expected("sue", "bounce", nobody)]),
        "far bounce": (sue, [refused], [Expected("sue", "bounce", refused)]),
        "double bounce": (f"nobody-else@{world.DOMAIN}", [nobody], [Expected("alias", "double bounce", nobody)]),
        "later": (f"later-{number}@{world.DOMAIN}", [f"later@{world.DOMAIN}"], [Expected("queue", "queued")]),
        "half": (f"later-{number}@{world.DOMAIN}", [nobody, f"later-{number}@{world.REMOTE}"], [
            Expected("queue", "queued"), Expected("bounces", "bounce kept", nobody)]),
        "many": (sue, [joe, f"{virtual}@{world.VIRTUAL}", far, f"mike@{world.DOMAIN}", nobody], [
            Expected("joe", "maildir"), Expected(f"virtual/{virtual}", "virtual"), Expected("far", "remote"),
            Expected("mike", "mbox"), Expected("sue", "bounce", nobody)]),
    }[kind]


def promised(text):
    """The number of the message that is in this text, and whether all of it is there; (None, False) without one."""
    found = re.search(rb"^Promise: (\d+)\r?$", text, re.MULTILINE)
    if not found:
        return None, False
    return int(found[1]), re.search(rb"^end of %b\r?$" % found[1], text, re.MULTILINE) is not None


class Ledger:
    """messages: {number: entry}; accounts: [entry]; taken: [entry] (what POP3 readers deleted); far: [(number, time)]
    (what the remote host took). An entry is a dict with "asked" and "given" (None: not given)."""

    def __init__(self):
        self.messages, self.accounts, self.taken, self.far = {}, [], [], []
        self.numbers, self.changed, self.given = 0, threading.Condition(), 0

    def message(self, kind, by, expected):
        with self.changed:
            self.numbers += 1
            self.messages[self.numbers] = entry = {"kind": kind, "by": by, "expected": expected, "asked": None,
                                                   "given": None}
            return self.numbers, entry

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
            json.dump({"messages": self.messages, "accounts": self.accounts, "taken": self.taken, "far": self.far}, f)


class FarHost(socketserver.ThreadingTCPServer):
    """The remote host: takes what is not for refused-… or later-…; takes(number) is called before it says so."""

    daemon_threads, block_on_close, allow_reuse_address, request_queue_size = True, False, True, 100

    def __init__(self, takes):
        self.takes = takes
        super().__init__(("127.0.0.1", world.FAR), FarSession)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class FarSession(socketserver.StreamRequestHandler):
    def handle(self):
        self.say(b"220 far.example")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"RCPT" and b"<refused-" in line:
                self.say(b"550 no such user")
            elif verb == b"RCPT" and b"<later-" in line:
                self.say(b"450 not now")
            elif verb == b"DATA":
                self.say(b"354 go on")
                text = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    text += line
                number, whole = promised(text)
                if line and whole:
                    self.server.takes(number)
                self.say(b"250 taken" if line and whole else b"554 this is not a whole message")
            elif verb == b"QUIT":
                return self.say(b"221 bye")
            else:
                self.say(b"250 ok")

    def say(self, text):
        try:
            self.wfile.write(text + b"\r\n")
        except OSError:
            pass                    # the client is gone


class Load:
    """Threads that ask for things until over is set. pause: the mean of seconds between two things an actor does.
    parts: which actors; None for all. kinds: of messages; None for all."""

    def __init__(self, place, ledger, pause=0.08, parts=None, kinds=None):
        self.world, self.ledger, self.pause, self.kinds = place, ledger, pause, kinds or KINDS
        self.over, self.troubles = threading.Event(), []
        actors = {"smtp": self.smtp, "smtp 2": self.smtp, "sendmail": self.sendmail, "pop3": self.pop3,
                  "accounts": self.accounts, "passwords": self.passwords, "domains": self.domains,
                  "stalls": self.stalls}
        self.threads = [threading.Thread(target=self.act, args=(name, actors[name])) for name in parts or actors]
        self.users = collections.deque(maxlen=8)        # that accounts() made

    def __enter__(self):
        self.host = FarHost(lambda number: self.ledger.far.append((number, time.monotonic())))
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.host.shutdown()

    def act(self, name, actor):
        while not self.over.is_set():
            try:
                actor()
            except (smtplib.SMTPException, poplib.error_proto, OSError, subprocess.SubprocessError) as why:
                self.troubles.append(f"{name}: {why!r}")        # not promised then
            self.over.wait(random.expovariate(1 / self.pause))

    def smtp(self):
        with smtplib.SMTP("127.0.0.1", world.SMTP, local_hostname="client.example", timeout=60) as smtp:
            for _ in range(random.choice((1, 1, 3))):
                self.submit_by_smtp(smtp)

    def submit_by_smtp(self, smtp, address=None):
        kind = "virtual" if address else random.choice(self.kinds)
        number, entry = self.ledger.message(kind, "smtp", [])
        sender, recipients, entry["expected"] = envelope(kind, number)
        if address:
            recipients, entry["expected"] = [address], [Expected(f"virtual/{address.partition('@')[0]}", "virtual")]
        self.ledger.ask(entry)
        if not smtp.sendmail(sender, recipients, message(number).replace(b"\n", b"\r\n")):
            self.ledger.give(entry)

    def sendmail(self):
        kind = random.choice(self.kinds)
        number, entry = self.ledger.message(kind, "sendmail", [])
        sender, recipients, entry["expected"] = envelope(kind, number)
        self.ledger.ask(entry)
        uid = self.world.uid("joe")
        done = self.world.run("sendmail", "-f", sender, *recipients, input=message(number), user=uid, group=uid,
                              extra_groups=[])
        if done.returncode == 0:
            self.ledger.give(entry)
        else:
            self.troubles.append(f"sendmail: {done}")

    def pop3(self):
        """Fetch and delete all that is in a reader's mailbox."""
        reader = random.choice(world.READERS)
        mailbox = poplib.POP3("127.0.0.1", world.POP3, timeout=60)
        mailbox.user(f"{reader}@{world.VIRTUAL}")
        mailbox.pass_(world.PASSWORD)
        numbers = []
        for at in range(1, mailbox.stat()[0] + 1):
            numbers.append(promised(b"\n".join(mailbox.retr(at)[1]))[0])
            mailbox.dele(at)
        entry = {"place": f"virtual/{reader}", "numbers": numbers, "asked": None, "given": None}
        self.ledger.taken.append(entry)
        self.ledger.ask(entry)
        mailbox.quit()
        if numbers:
            self.ledger.give(entry)
        self.over.wait(0.3)

    def account(self, program, name, value, *words):
        """Run a program that changes accounts; True if it said that it has."""
        entry = {"program": program, "name": name, "value": value, "asked": None, "given": None}
        self.ledger.accounts.append(entry)
        self.ledger.ask(entry)
        done = self.world.run(program, *words)
        if done.returncode == 0:
            self.ledger.give(entry)
        else:
            self.troubles.append(f"{program}: {done}")
        return done.returncode == 0

    def stalls(self):
        """For a moment qmail-send gets no time: what was accepted waits in todo."""
        self.over.wait(1)
        with open(f"{self.world.home}/run/send.pid", encoding="ascii") as f:
            pid = int(f.read().split()[0])
        os.kill(pid, signal.SIGSTOP)
        self.over.wait(0.3)
        os.kill(pid, signal.SIGCONT)

    def accounts(self):
        """A new user, and mail for him; sometimes one goes."""
        name = f"u{len(self.ledger.accounts)}x{random.randrange(1000)}"
        if self.account("vadduser", name, world.PASSWORD, f"{name}@{world.VIRTUAL}", world.PASSWORD):
            self.users.append(name)
            with smtplib.SMTP("127.0.0.1", world.SMTP, local_hostname="client.example", timeout=60) as smtp:
                self.submit_by_smtp(smtp, f"{name}@{world.VIRTUAL}")
        self.over.wait(0.3)

    def passwords(self):
        name, value = random.choice((*world.RECEIVERS, *self.users)), f"Pw-{random.randrange(1 << 40)}"
        self.account("vpasswd", name, value, f"{name}@{world.VIRTUAL}", value)
        self.over.wait(0.3)

    def domains(self):
        name = f"d{random.randrange(1 << 30)}.example"
        self.account("vadddomain", name, world.PASSWORD, name, world.PASSWORD)
        self.over.wait(1)
