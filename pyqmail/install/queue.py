"""`qmailctl queue`: messages are listed, shown, held, released, expired and deleted, on a live system.

Who changes a message holds it first (queue/suspects.py): qmail-send begins nothing new with it and says when nothing of
it is under way. Then its files are nobody's but ours; they are changed (queue/change.py) and the message is
released, upon which qmail-send takes it up at once. Where no qmail-send runs we have its lock as long as we work.

**Security**: all is done as qmails, who can do that to the queue anyway; what only qmailq may, qmail-clean does.
"""
import contextlib
import fcntl
import os
import time

from ..base import accounts, child, deadline, errors, home, lock, prot, sig
from ..base.errors import Permanent, Temporary
from ..queue import change, envelope, look, names, suspects
from . import services

VERBS = ("list", "show", "hold", "release", "expire", "delete")
CHANGES = {"expire": "expired", "delete": "deleted"}            # with --yes only
BATCH = 1000                        # messages held at a time
PATIENCE = 60                       # s for what is under way; attempts at a far host may take longer
STARTING = 30                       # s for a qmail-send that is just being started
ANOTHER = 30                        # s for another qmailctl that changes the queue
SHOWN = 65536                       # bytes of a header, and of the text of a bounce
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
SAFE = bytes(byte if 32 <= byte <= 126 or byte in b"\n\t" else ord("_") for byte in range(256))
ONE_LINE = bytes(byte if 33 <= byte <= 126 else ord("_") for byte in range(256))


def run(verb, options, say):
    """The exit code. options: of the command line, see wanted(). Raises Permanent for those that make no sense."""
    filtered, patience = wanted(options), age(options.get("wait", str(PATIENCE)))
    services.check_owner()
    (asked, requests), (answers, told) = os.pipe(), os.pipe()
    cleaner = start_cleaner(asked, told) if verb == "delete" else None
    os.close(asked)                 # not ours: should qmail-clean die, we must see it
    os.close(told)
    try:
        return child.wait(child.fork(lambda: as_qmails(verb, filtered, options, patience, say, requests, answers)))
    finally:
        os.close(requests)          # qmail-clean ends
        os.close(answers)
        if cleaner is not None:
            child.wait(cleaner)


def wanted(options):
    """The Filter that the options make. Raises Permanent."""
    words = [*options["words"], *options.get("message", "").split(",")]
    if not all(word.isdecimal() for word in filter(None, words)):
        raise Permanent("messages are given by their numbers")
    numbers = {int(word) for word in filter(None, words)} or None
    found = look.Filter(numbers, *(os.fsencode(options[name]) if name in options else None
                                   for name in ("sender", "recipient")), age(options.get("older")))
    if found == look.Filter() and not {"all", "held"} & set(options):
        raise Permanent("which messages? Give numbers, --sender, --recipient, --older, --held or --all")
    return found


def age(text):
    """Seconds that `3d`, `2h`, `30m` or `90` say; None for None. Raises Permanent."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS and text[-1:] else (text, "s")
    if not (number.isascii() and number.isdecimal()):
        raise Permanent(f"{text}: no age like 90s, 30m, 2h or 3d")
    return int(number) * UNITS[unit]


def start_cleaner(requests, answers):
    """bin/qmail-clean as qmailq; its pid."""
    program = home.program("qmail-clean")
    return child.start(program, [os.fsencode(program)], {0: requests, 1: answers, 2: 2}, cwd="/",
                       prepare=lambda: prot.become(accounts.uid("qmailq"), accounts.gid("qmail")))


def as_qmails(verb, filtered, options, patience, say, requests, answers):
    prot.become(accounts.uid("qmails"), accounts.gid("qmail"))
    os.chdir(home.path("queue"))

    def clean(request):
        os.write(requests, request + b"\0")
        if os.read(answers, 1) != b"+":
            raise Temporary(f"qmail-clean unable to clean up {request.decode()}")
    try:
        if verb in ("list", "show"):
            return looked_at(filtered, options, say, shown if verb == "show" else line)
        with changing() as stopped:
            return Changer(stopped, patience, clean, say).run(verb, filtered, options)
    except (Temporary, OSError) as why:
        say(f"qmailctl: {why if isinstance(why, Temporary) else errors.unforeseen(why)}")
        return errors.TEMPORARY


# ---------------------------------------------------------------- looking

def selected(filtered, options):
    """Yields (Message, why it is left alone or None) for each message that is meant."""
    held = look.held()
    for message in look.find(filtered):
        if "held" not in options or message.number in held:
            yield message, held.get(message.number)


def looked_at(filtered, options, say, show):
    found = False
    for message, why in selected(filtered, options):
        found = True
        say(show(message, why))
    return 0 if found else 1


def line(message, why):
    sender = "?" if message.sender is None else message.sender.translate(ONE_LINE).decode()
    state = ", ".join((why or message.stage, *(["bouncing"] if message.bouncing else [])))
    old = max(0, int(time.time()) - message.birth)
    return (f"msg {message.number}: {message.size} bytes from <{sender}>, {in_words(old)}, "
            f"{message.left} of {message.recipients} recipients left, {state}")


def in_words(seconds):
    unit = next((unit for unit in "wdhm" if seconds >= 2 * UNITS[unit]), "s")
    return f"{seconds // UNITS[unit]}{unit}"


def shown(message, why):
    """What line() says, recipients, what failed, and the header."""
    lines, number = [line(message, why).encode()], message.number
    with contextlib.suppress(FileNotFoundError):        # it ends while we look
        lines += addresses(message)
        if message.bouncing:
            lines += [b"", beginning(names.flat("bounce", number)).rstrip(b"\n")]
        lines += [b"", beginning(names.split("mess", number)).partition(b"\n\n")[0], b""]
    return os.fsdecode(b"\n".join(lines).translate(SAFE))


def addresses(message):
    if message.stage == look.QUEUED:
        for channel, done, address in look.recipients(message.number):
            yield b"%b\t%b\t%b" % (b"  done" if done else b"", channel.encode(), address.translate(ONE_LINE))
        return
    with open(names.flat("todo", message.number), "rb") as f:
        for _, record in envelope.records(f.fileno()):
            if record[:1] == b"T":
                yield b"\ttodo\t" + record[1:].translate(ONE_LINE)


def beginning(path):
    with open(path, "rb") as f:
        return f.read(SHOWN)


# ---------------------------------------------------------------- changing

@contextlib.contextmanager
def changing():
    """One at a time. Gives True if no qmail-send runs; none starts then, as long as we are at it."""
    directory = os.open("lock", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    mutex = os.open(names.SENDMUTEX, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not lock.exclusive(directory, ANOTHER):
            raise Temporary("unable to lock queue/lock")
        try:
            fcntl.flock(mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stopped = True
        except BlockingIOError:
            stopped = False
        yield stopped
    except deadline.Expired:
        raise Temporary("another qmailctl is changing the queue") from None
    finally:
        os.close(mutex)
        os.close(directory)


class Changer:
    """stopped: no qmail-send runs. patience: s to wait for deliveries under way. clean(request): has qmail-clean do it."""

    def __init__(self, stopped, patience, clean, say):
        self.stopped, self.patience, self.clean, self.say = stopped, patience, clean, say
        self.foreign = not stopped and not home.ours("qmail-send")

    def run(self, verb, filtered, options):
        if self.foreign and verb in ("hold", "release"):
            raise Temporary("this qmail-send is not pyqmail's: it holds nothing")
        found = selected(filtered, options)
        if verb in CHANGES and "yes" not in options:
            count = sum(1 for message, why in found if self.say(line(message, why)) is None)
            self.say(f"{count} messages. Nothing was {CHANGES[verb]}: say --yes to have it done")
            return 0 if count else 1
        marks = {message.number: message.mark for message, why in found if verb != "release" or why}
        left = 0                    # undone
        for start in range(0, len(marks), BATCH):
            batch = {number: marks[number] for number in sorted(marks)[start:start + BATCH]}
            left += {"hold": self.hold, "release": self.release}.get(verb, lambda one: self.change(verb, one))(batch)
        if not marks:
            self.say("no such messages")
        elif self.foreign:
            self.say("C qmail-send takes notice at the next attempt of each (qmailctl doqueue: now)")
        return 0 if marks and not left else 1

    def tell(self):
        """Have qmail-send read what we wrote."""
        if self.stopped or self.foreign:
            return
        end = time.monotonic() + STARTING
        while not services.signal("send", sig.HUP):
            if time.monotonic() > end:
                raise Temporary("qmail-send runs, but not as a service of this installation: unable to tell it")
            time.sleep(0.1)

    def hold(self, batch):
        held = self.held(batch)
        for number in batch:
            self.say(f"held {number}" if number in held else f"msg {number} is gone" if number not in self.asked()
                     else f"held {number}, but a delivery of it is under way")
        return len(batch.keys() - self.asked())

    def held(self, batch):
        """Those that nobody but us touches until they are released. Waits for what is under way."""
        suspects.hold(batch, suspects.HELD if self.stopped else suspects.HOLD)
        self.tell()
        end = time.monotonic() + self.patience
        while True:
            entries = suspects.File().read()
            waiting = {number for stage, number in entries if stage == suspects.HOLD and number in batch}
            if not waiting or self.stopped or time.monotonic() > end:
                return {number for stage, number in entries if stage == suspects.HELD and number in batch}
            time.sleep(0.02)

    @staticmethod
    def asked():
        return set(suspects.set_aside_now())

    def release(self, batch):
        released = suspects.release(batch.keys())
        self.tell()
        for number in released:
            self.say(f"released {number}")
        return len(batch) - len(released)

    def change(self, verb, batch):
        if self.foreign:
            return sum(not self.changed(verb, number, mark) for number, mark in batch.items())
        before, left = suspects.set_aside_now(), 0
        busy = set(batch)
        try:
            held = self.held(batch)
            busy = {number for number in self.asked() if number in batch and number not in held}
            for number, mark in batch.items():
                if number in busy:
                    self.say(f"msg {number} is being delivered: it was not {CHANGES[verb]}")
                    left += 1
                elif number not in held:
                    self.say(f"msg {number} is gone")
                else:
                    left += not self.changed(verb, number, mark)
        finally:                    # who was held before, and was not changed, stays so
            suspects.release({number for number in batch if number not in busy or number not in before})
            self.tell()
        return left

    def changed(self, verb, number, mark):
        """True if it was, or its message is gone by itself."""
        try:
            new = os.path.exists(names.flat("todo", number))
            if new and (verb == "expire" or self.foreign):
                self.say(f"msg {number} is not preprocessed yet: it was not {CHANGES[verb]}")
                return False
            if new:
                change.delete_new(number, mark, self.clean)
            else:
                getattr(change, verb)(number, mark)
            self.say(f"{CHANGES[verb]} {number}")
        except (change.Gone, FileNotFoundError):
            self.say(f"msg {number} is gone")
        return True
