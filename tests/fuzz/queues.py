"""Targets of the queue: what a client hands to the service, what qmail-send finds in it, and files that are damaged."""
import functools
import os
import re
import socket
import types
from unittest import mock

from pyqmail.base import durable, local
from pyqmail.base.errors import text as words
from pyqmail.install import queue as commands
from pyqmail.programs import qmail_qread
from pyqmail.queue import change, check, envelope, insert, look, mend, names, scan, wire, worker
from pyqmail.send import bounce, preprocess
from pyqmail.send import rewrite as routing
from pyqmail.spawn import identity

from . import models
from .reading import Input

FLAT, SPLIT = ("pid", "intd", "todo", "bounce", "lock"), names.DIRECTORIES_SPLIT
PRINTABLE = bytes(range(32, 127))
QUEUED = re.compile(rb"Received: \(qmail \d+ invoked (by uid \d+|from network|for bounce|by alias)\); [^\n]+\n")
LOST = (wire.LOST, 0)
VIRTUAL = {b"v.example": b"v", b".v.example": b"sub"}
ROUTING = routing.Routing(frozenset({b"l.example"}), frozenset({b"h.example"}), VIRTUAL, b"n.example")
CONTROLS = types.SimpleNamespace(bouncefrom=b"MAILER-DAEMON", bouncehost=b"b.example", doublebounceto=b"post@b.example")


def few_directories(run):
    """run(data) with a queue that is split three times, not 23 times: as many inputs more in the same time."""
    @functools.wraps(run)
    def running(data):
        before = names.SPLIT, scan.SPLIT, check.PLACES
        names.SPLIT = scan.SPLIT = 3
        check.PLACES = frozenset(("0", "1", "2"))
        try:
            run(data)
        finally:
            names.SPLIT, scan.SPLIT, check.PLACES = before
    return running


def enter_queue():
    """An empty queue in the working directory."""
    if os.path.isdir("mess"):
        return
    for kind in FLAT:
        os.mkdir(kind)
    for kind in SPLIT:
        for part in range(names.SPLIT):
            os.makedirs(f"{kind}/{part}")


def files(kinds):
    """The paths of what is in the queue."""
    found = []
    for kind in kinds:
        places = [f"{kind}/{part}" for part in range(names.SPLIT)] if kind in SPLIT else [kind]
        found += (f"{place}/{name}" for place in places for name in os.listdir(place))
    return found


def read(path):
    with open(path, "rb") as f:
        return f.read()


# ---------------------------------------------------------------- the service

class Service(worker.Worker):
    """The worker, but for its threads: what comes in pieces is dealt with at once."""

    def __init__(self):
        listener = local.listen(("socket.new", None), 10)
        with mock.patch.multiple(worker.accounts, private=lambda: None, roles=dict):
            super().__init__(listener, 0)
        listener.setblocking(False)
        self.epoll.register(listener, worker.select.EPOLLIN)

    def hand_out(self, client):
        client.busy = True
        self.jobs += 1
        self.work.put(client)
        self.one_job(self.packets)

    def finish_all(self):
        """Until everybody has his answer."""
        self.turn(self.poll(0))
        while self.places:
            self.turn(self.poll(0.01))


_services = {}


def service():
    """The one of this working directory."""
    enter_queue()
    here = os.getcwd()
    if here not in _services:
        _services.clear()
        _services[here] = Service()
    return _services[here]


@few_directories
def submissions(data):
    """What clients hand to the queue service, several at once: each gets the model's exit code, and what was accepted
    is in the queue to the byte; nothing else is, and no descriptor stays open."""
    given = Input(data)
    serving, clients = service(), []
    before = os.dup(0)
    os.close(before)
    for _ in range(1 + given.byte() % 3):
        kind, stream, text = given.byte() % 8, given.line(), given.line().replace(b"~", b"\n")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect("socket")
        clients.append((sock, *hand_in(sock, kind, stream, text, given)))
    serving.finish_all()
    wanted = []
    for sock, code, text, records in clients:
        sock.setblocking(False)
        answer = wire.receive_answer(sock)
        sock.close()
        assert answer[0] == code and (answer != LOST or code == wire.LOST), (answer, code)
        if code == 0:
            wanted.append((text, b"".join(record + b"\0" for record in records)))
    assert not serving.waiting and not serving.pieces
    after = os.dup(0)
    os.close(after)
    assert after == before, "a descriptor is left"
    in_queue(wanted)


def hand_in(sock, kind, stream, text, given):
    """Send one request, and nothing more; (the exit code that it is worth, its text, its records)."""
    if kind < 4:
        claimed = len(stream) if kind else given.byte() << 8 | given.byte()
        packets = [(wire.WHOLE, wire.WHOLE_AS_PID)[kind == 3] + claimed.to_bytes(4, "big") + stream + text]
        worth = whole(claimed, stream + text)
    elif kind == 4:
        packets = [stream or b"x"]
        claimed = int.from_bytes(stream[3:7], "big")
        worth = (wire.LOST, None, None)
        if stream in (wire.PIECES, wire.PIECES_AS_PID):
            worth = insert.READ_ERROR, None, None
        elif stream[:3] in (wire.WHOLE, wire.WHOLE_AS_PID) and len(stream) >= wire.HEAD:
            worth = whole(claimed, stream[wire.HEAD:])
    else:
        size, records = 1 + given.byte(), None
        packets = [(wire.PIECES, wire.PIECES_AS_PID)[kind == 6], *cut(wire.TEXT, text, size)]
        if kind == 5:
            code = insert.READ_ERROR                # broken off
        else:
            packets += cut(wire.ENVELOPE, stream, size)
            records, code = models.envelope(stream)
        worth = code or 0, text, records
    for packet in packets:
        sock.send(packet)
    sock.shutdown(socket.SHUT_WR)
    return worth


def whole(claimed, both):
    if claimed > len(both):
        return wire.LOST, None, None
    records, code = models.envelope(both[:claimed])
    return code or 0, both[claimed:], records


def cut(kind, data, size):
    size = max(size, len(data) // 50 + 1)           # so many fit into the socket
    return [kind + data[at:at + size] for at in range(0, len(data), size)]


def in_queue(wanted):
    """The queue has just these messages (text, records), and what qmail leaves to qmail-clean. It is emptied."""
    assert not os.listdir("pid"), "left in pid"
    found = []
    for name in os.listdir("todo"):
        mess, letter = read(names.split("mess", int(name))), read(f"todo/{name}")
        received = QUEUED.match(mess)
        held = re.match(rb"u\d+\0p\d+\0", letter)
        assert received and held and os.path.samefile(f"todo/{name}", f"intd/{name}")
        assert os.stat(names.split("mess", int(name))).st_ino == int(name)
        found.append((mess[received.end():], letter[held.end():]))
    assert sorted(found) == sorted(wanted), (found, wanted)
    for path in files(("todo", "intd", "mess")):
        os.unlink(path)


# ---------------------------------------------------------------- qmail-send

NUMBER = 4711


def put(kind, data, birth=1_795_338_307):
    path = names.split(kind, NUMBER) if kind in SPLIT else names.flat(kind, NUMBER)
    with open(path, "wb") as f:
        f.write(data)
    os.utime(path, (birth, birth))


@few_directories
def new_message(data):
    """Whatever stands in todo/N: info, local and remote are the model's, or the message waits; log lines are lines."""
    given = Input(data)
    long, letter = given.flag(), given.rest()
    enter_queue()
    put("mess", b"x\n")
    put("todo", letter)
    queue = os.open(".", os.O_RDONLY)
    try:
        if long:
            ready = [preprocess.prepare_long(NUMBER, ROUTING, queue)]
        else:
            ready, left = preprocess.prepare([NUMBER], ROUTING, queue)
            assert not left
        [result] = preprocess.write_out(ready, durable.Disk())
    finally:
        os.close(queue)
    for line in result.lines:
        assert not line.strip(PRINTABLE), line
    wanted = sorted_out(letter.split(b"\0")[:-1])
    if wanted is None:
        assert result.channels is None
    else:
        sender, senders, lists = wanted
        assert result.channels == tuple(lists) and result.sender == sender, (result, wanted)
        assert read(names.split("info", NUMBER)) == senders
        assert {kind: read(names.split(kind, NUMBER)) for kind in lists} == lists
        os.unlink(f"todo/{NUMBER}")
        assert envelope.info(NUMBER) == (None if sender is None else (sender, result.birth))
        assert len(list(look.recipients(NUMBER))) == sum(each.count(b"\0") for each in lists.values())
    for path in files(("mess", "todo", "info", "local", "remote")):
        os.unlink(path)


def sorted_out(records):
    """(the sender, info, {channel: its file} in their order) that the records of a todo file make; None for trouble."""
    senders, lists = [], {"local": [], "remote": []}
    for record in records:
        if record[:1] == b"F":
            senders.append(record[1:])
        elif record[:1] == b"T":
            channel, address = ROUTING.route(record[1:])
            lists[channel].append(address)
        elif record[:1] not in (b"u", b"p"):
            return None
    return (senders[0] if senders else None, b"".join(b"F%b\0" % each for each in senders),
            {kind: b"".join(b"T%b\0" % each for each in found) for kind, found in lists.items() if found})


# ---------------------------------------------------------------- damaged files

KINDS = ("mess", "todo", "info", "local", "remote", "bounce", "intd")


class Copied:
    """A submission of a bounce: what would be queued."""

    qp = 1

    def __init__(self):
        self.text, self.failed = b"", False

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        pass

    def put(self, data):
        self.text += data

    def fail(self):
        self.failed = True

    def finish(self, sender, recipients):
        self.sender, self.recipients = sender, recipients
        return b""


@few_directories
def damaged_message(data):
    """Files of a message that hold anything: who lists, checks, bounces or deletes it does what it says, in lines
    that a terminal can be shown; or says OSError."""
    given = Input(data)
    there, birth = given.byte(), given.byte() << given.byte() % 48
    contents = {kind: given.line() for kind in KINDS}
    enter_queue()
    for at, kind in enumerate(KINDS):
        if there >> at & 1:
            put(kind, contents[kind], birth)
    try:
        shown(contents, there)
        if there & 1:
            returned()
        ended()
    finally:
        for path in files(KINDS):
            os.unlink(path)


def shown(contents, there):
    messages = list(look.find(look.Filter())) + list(look.find(look.Filter({NUMBER}, b"*", b"*@?*", 1)))
    assert there & 1 or not messages
    for message in messages:
        line = commands.line(message, None)
        assert line.isprintable() and line.isascii(), line
        page = commands.shown(message, "held")
        assert not page.encode().strip(PRINTABLE + b"\n\t"), page
        assert 0 <= message.left <= message.recipients
    lines = []
    try:
        qmail_qread.message(types.SimpleNamespace(put=lines.append), NUMBER)
    except OSError as why:
        assert words(why)
    for line in lines:
        assert line.endswith(b"\n") and not line[:-1].strip(PRINTABLE + b"\t"), line
    for found in check.examine(os.getcwd(), NUMBER):
        assert found.path and found.text
    local = contents["local"] if there & 8 else b""
    known = identity.Recipients(os.fsencode(names.split("local", NUMBER)), 0)
    for recipient in {record[1:] for record in local.split(b"\0")[:-1]}:
        twins = [known.begin(recipient) for _ in range(3)]
        places = [twin.place for twin in twins if twin and twin is not identity.UNTOLD]
        assert len(set(places)) == len(places)


def returned():
    """The bounce of whatever info says: five lines of header, ours, and then the texts as they are."""
    info = envelope.info(NUMBER)
    if info is None:
        return
    made = bounce.Bounce(NUMBER, info[0], CONTROLS)
    if made.recipient is None:
        assert made.kind in ("triple", "unwanted")
        return
    copied, queue = Copied(), os.open(".", os.O_RDONLY)
    try:
        made.inject(copied, 1_795_338_307, queue)
    finally:
        os.close(queue)
    head, _, rest = copied.text.partition(b"\n\n")
    assert [line.partition(b":")[0] for line in head.split(b"\n")] == [b"Date", b"From", b"To", b"Subject"], head
    assert b"\r" not in head and copied.recipients == [made.recipient]
    assert copied.failed == (not os.path.exists(f"bounce/{NUMBER}"))
    if not copied.failed:
        assert copied.text.endswith(read(names.split("mess", NUMBER)))
        assert read(f"bounce/{NUMBER}") in rest


def ended():
    """Expired and deleted by hand: no recipient is left to do."""
    mark = look.suspects.mark(NUMBER)
    try:
        change.expire(NUMBER, mark)
        assert os.stat(names.split("info", NUMBER)).st_mtime == change.LONG_AGO
    except (FileNotFoundError, change.Gone):
        pass
    try:
        change.delete(NUMBER, mark)
    except change.Gone:
        return
    assert all(done for _, done, _ in look.recipients(NUMBER)) and not os.path.exists(f"bounce/{NUMBER}")


@few_directories
def disorder(data):
    """A queue in any disorder is mended: no file's contents are lost, and only contents are left to complain of."""
    given = Input(data)
    enter_queue()
    owners, told, texts = dict.fromkeys(check.OURS, os.getuid()), [], []
    for _ in range(1 + given.byte() % 8):
        texts += litter(given)
    if os.listdir("todo"):              # from which info, local and remote are made anew
        texts = [(kind, text) for kind, text in texts if kind in ("mess", *FLAT)]
    try:
        with mock.patch("os.sync"):
            mend.Mend(os.getcwd(), owners, os.getgid(), "pid", told.append).run()
        kept = [read(path) for path in everything() if os.path.isfile(path) and not os.path.islink(path)]
        assert all(text in kept for _, text in texts), (texts, kept, told)
        left = [each for each in check.findings(os.getcwd(), owners) if each.kind not in (check.ORPHAN, check.CONTENT)]
        assert not left or any("outside of the queue" in line for line in told), (left, told)
    finally:
        tidy()


def litter(given):
    """Make one file, link or directory somewhere in the queue; [(kind, text)] if this made a text."""
    kind, place, how = KINDS[given.byte() % len(KINDS)], given.byte() % 5, given.byte()
    name, text = os.fsdecode(given.line().translate(None, b"/\0")[:255]), given.line()
    if how & 1:                         # a part of the message that was put there first
        name = next((os.path.basename(path) for path in files(("mess",))), name)
        place = int(name) % names.SPLIT if name.isdecimal() and name.isascii() else place
    path = f"{kind}/{place}/{name}" if kind in SPLIT and not how & 2 else f"{kind}/{name}"
    try:
        if how & 4:                     # another name, as mending or qmail-queue give it
            os.link(next(iter(files(("todo" if kind == "intd" else kind,)))), path)
        elif how & 8:
            os.symlink("nothing", path)
        elif how & 16 and not name.isdecimal():    # others split directories by such names
            os.mkdir(path)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as f:
                f.write(text)
            if kind == "mess" and how & 32:
                os.rename(path, names.split("mess", os.stat(path).st_ino))
            return [(kind, text)]
    except (OSError, StopIteration):
        pass
    return []


def everything():
    return [os.path.join(place, name) for place, _, found in os.walk(".") for name in found]


def tidy():
    """An empty queue again."""
    for path in everything():
        os.unlink(path)
    for place, _, _ in os.walk(".", topdown=False):
        kind, _, rest = place.removeprefix("./").partition("/")
        if rest and not (kind in SPLIT and rest in check.PLACES):
            os.rmdir(place)
    if os.path.isdir("aside"):
        os.rmdir("aside")
