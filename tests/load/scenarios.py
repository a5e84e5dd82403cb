"""What is done to the running system, and what must hold while it is done.

Each scenario gets a Place and Sizes and returns a Row. `wrong` lists what must never happen, whatever the machine: mail
that is refused or does not arrive, descriptors that are not given back, a process beyond its bound, a limit that is
answered with the wrong reply. Rates are for the reader.
"""
import collections
import contextlib
import poplib
import socket
import statistics
import threading
import time

from tests.load import clients, place as places
from tests.powercut import world

# of a measurement: at most so many messages, or as many as take about so many seconds
Sizes = collections.namedtuple("Sizes", "idle slow connectors deaf pop3 messages seconds rounds")
FULL = Sizes(idle=5000, slow=1000, connectors=500, deaf=50, pop3=200, messages=4000, seconds=3, rounds=3)
SMALL = Sizes(idle=300, slow=100, connectors=100, deaf=10, pop3=40, messages=60, seconds=3, rounds=1)
MUCH = 8000                         # control/concurrencyincoming where thousands are to be there at once
WORKER = 40                         # MB (PSS) of a process of qmail-smtpd, and
CONNECTION = 0.064                  # MB more for each connection, its message's beginning included
LIMIT, PER_IP = 20, 10              # of the scenario about limits


class Row:
    """name: of the scenario; alone, loaded: [messages a second] of the rounds; notes: for the table; wrong: see above;
    processor: ([ms a message alone], [under load])."""

    def __init__(self, name):
        self.name, self.alone, self.loaded, self.notes, self.wrong = name, [], [], [], []
        self.processor = [], []

    def must(self, fine, what):
        if not fine:
            self.wrong.append(what)

    @property
    def ratio(self):
        return statistics.median(self.loaded) / statistics.median(self.alone) if self.loaded else None

    def text(self):
        def rates(found):
            return f"{statistics.median(found):7.0f}" if found else f"{'-':>7}"
        ratio = f"{self.ratio:6.0%}" if self.loaded else f"{'-':>6}"
        used = [f"{statistics.median(found):7.2f}" if found else f"{'-':>7}" for found in self.processor]
        lines = [f"{self.name:<12} {rates(self.alone)} {rates(self.loaded)} {ratio} {' '.join(used)}  "
                 f"{'; '.join(self.notes)}"]
        return "\n".join(lines + [f"    WRONG {what}" for what in self.wrong])


HEADING = (f"{'':<12} {'messages a second':>23} {'CPU, ms each':>15}   medians of the rounds\n"
           f"{'':<12} {'alone':>7} {'loaded':>7} {'ratio':>6} {'alone':>7} {'loaded':>7}")


def beside(row, place, sizes, crowd):
    """Rounds of ordinary mail, alone and beside the crowds: [(kind, count)]. The clients' own tales."""
    before, told, connections = place.descriptors(), [], sum(count for _, count in crowd)
    messages = min(sizes.messages, int(place.rate * sizes.seconds) + 1)
    for _ in range(sizes.rounds):
        measure(place, messages, row.alone, row.processor[0])
        with contextlib.ExitStack() as stack:
            present = [stack.enter_context(places.Clients(*one)) for one in crowd]
            measure(place, messages, row.loaded, row.processor[1])
            held = place.descriptors()["qmail-smtpd"] - before["qmail-smtpd"]
            memory = place.memory()
        told.append([client.told for client in present])
        place.settled(before)
    share = connections / max(1, len(memory) - 1)
    row.must(memory[0] <= WORKER + CONNECTION * share, f"a process of qmail-smtpd has {memory[0]:.0f} MB")
    row.notes.append(f"qmail-smtpd {' + '.join(f'{size:.0f}' for size in memory)} MB, {held} descriptors more")
    return told


def measure(place, messages, rates, processor):
    rate, used = place.mail(messages)
    rates.append(rate)
    processor.append(used)


def idle(place, sizes):
    """Thousands of connections that say nothing."""
    row = Row("idle")
    place.start(concurrencyincoming=MUCH)
    for [told] in beside(row, place, sizes, [("idle", sizes.idle)]):
        expect(row, told, greeted=sizes.idle, left=sizes.idle)
    return row


def slow(place, sizes):
    """A byte a second: in commands, and in messages, which are taken in the end."""
    row = Row("slow")
    place.start(concurrencyincoming=MUCH)
    for [told] in beside(row, place, sizes, [("slow", sizes.slow)]):
        expect_slow(row, told, sizes.slow)
    slow_mail(row, place, sizes.slow * sizes.rounds // 2)
    return row


def both(place, sizes):
    """The two together."""
    row = Row("both")
    place.start(concurrencyincoming=MUCH)
    for quiet, slowly in beside(row, place, sizes, [("idle", sizes.idle), ("slow", sizes.slow)]):
        expect(row, quiet, greeted=sizes.idle, left=sizes.idle)
        expect_slow(row, slowly, sizes.slow)
    slow_mail(row, place, sizes.slow * sizes.rounds // 2)
    return row


def expect(row, told, **counts):
    row.must(told == counts, f"of the clients: {told} instead of {counts}")


def expect_slow(row, told, count):
    writers = count - count // 2
    expect(row, told, **{"greeted": count, "in DATA": writers, "accepted": writers, "left": count})


def slow_mail(row, place, count):
    """What came a byte a second must arrive as any other."""
    place.sent["sue"] += count
    place.until(lambda: place.all_delivered("sue"), "delivery of slow mail")


def connector(place, sizes):
    """One who connects and hangs up as fast as he can; then some who never read a reply."""
    row = Row("connector")
    place.start()
    for [told] in beside(row, place, sizes, [("connect", sizes.connectors)]):
        row.must(told["made"] and not told["failed"], f"connections: {told}")
    row.notes.append(f"{told['made']} connections in the last round")
    return row


def deaf(place, sizes):
    """Commands without end, and no reply is read."""
    row = Row("deaf")
    place.start()
    for [told] in beside(row, place, sizes, [("deaf", sizes.deaf)]):
        row.must(told["greeted"] == sizes.deaf, f"clients: {told}")
    row.notes.append(f"took {told['bytes'] / 1e6:.0f} MB of commands from {sizes.deaf} in the last round")
    return row


def limits(place, sizes):
    """What happens at the limits: in all, and for one address."""
    row = Row("limits")
    place.start(concurrencyincoming=LIMIT, concurrencyperip=PER_IP, concurrencypop3=sizes.pop3)
    before = place.descriptors()
    stranger = [connected(clients.source(1)) for _ in range(PER_IP)]
    row.must(all(said(sock).startswith(b"220 ") for sock in stranger), "connections below the limit of one address")
    row.must(is_reset(clients.source(1)), "one connection too many of one address is not reset")
    others = [connected(clients.source(2 + number)) for number in range(LIMIT - PER_IP)]
    row.must(all(said(sock).startswith(b"220 ") for sock in others), "connections below the limit")
    late = connected(clients.source(200))
    late.settimeout(1)
    row.must(said(late) == b"waits", "one connection too many is not kept waiting")
    others.pop().close()
    late.settimeout(places.PATIENCE)
    row.must(said(late).startswith(b"220 "), "who waits does not come in when there is room")
    for sock in (*stranger, *others, late):
        sock.close()
    place.settled(before)
    row.notes.append(f"{PER_IP + 1}th of one address: reset; {LIMIT + 1}th of all: waits, then greeted")
    return row


def connected(address):
    return socket.create_connection(("127.0.0.1", places.SMTP), places.PATIENCE, (address, 0))


def is_reset(address):
    try:
        return said(connected(address)) is None
    except ConnectionResetError:    # it was faster than we
        return True


def said(sock):
    """What the server says: bytes; None for a reset, b"waits" if nothing comes in time."""
    try:
        return sock.recv(200)
    except TimeoutError:
        return b"waits"
    except ConnectionError:
        return None


def pop3(place, sizes):
    """Sessions at once, each in its TRANSACTION state before any goes on; then one too many."""
    row = Row("pop3")
    place.start(concurrencyincoming=LIMIT, concurrencyperip=PER_IP, concurrencypop3=sizes.pop3)
    place.mail(10)
    users = [f"{name}@{world.VIRTUAL}" for name in (*world.READERS, *world.RECEIVERS)]
    for user in users:
        place.virtual_mail(user)
    before, together, results = place.descriptors(), threading.Barrier(sizes.pop3 + 1), []
    sessions = [threading.Thread(target=lambda user=user: results.append(session(user, together)))
                for user in (users * sizes.pop3)[:sizes.pop3]]
    began = time.monotonic()
    for thread in sessions:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        together.wait(places.PATIENCE)
    logged_in = time.monotonic()
    memory = place.memory("qmail-popup")
    too_many = refused(users[0])
    with contextlib.suppress(threading.BrokenBarrierError):
        together.wait(places.PATIENCE)
    for thread in sessions:
        thread.join()
    took = time.monotonic() - logged_in
    row.must(results == ["fine"] * sizes.pop3, f"sessions: {[result for result in results if result != 'fine'][:3]}")
    row.must(too_many == b"-ERR too many sessions, try again later", f"one session too many: {too_many}")
    row.must(refused(users[0], waits=True) == b"+OK ", "after that, no session is to be had")
    place.settled(before)
    logged_in -= began
    row.notes.append(f"{sizes.pop3} logged in within {logged_in:.1f} s, STAT UIDL RETR QUIT of all {took:.1f} s")
    row.notes.append(f"PSS of all processes {sum(memory):.0f} MB, largest {memory[0]:.0f}")
    row.notes.append(f"one more: {too_many.decode(errors='replace')}")
    return row


def session(user, together):
    try:
        mailbox = poplib.POP3("127.0.0.1", places.POP3, timeout=places.PATIENCE)
        mailbox.user(user)
        mailbox.pass_(world.PASSWORD)
        together.wait(places.PATIENCE)      # all are in their mailboxes
        together.wait(places.PATIENCE)      # and one too many has been sent away
        count, size = mailbox.stat()
        lines = mailbox.uidl()[1]
        text = mailbox.retr(1)[1]
        mailbox.quit()
        return "fine" if count == len(lines) == 1 and size and b"for you" in text else f"{count} {lines} {text}"
    except (poplib.error_proto, OSError, threading.BrokenBarrierError) as why:
        together.abort()
        return repr(why)


def refused(user, waits=False):
    """What one more session is told at PASS."""
    end = time.monotonic() + places.PATIENCE
    while True:
        mailbox = poplib.POP3("127.0.0.1", places.POP3, timeout=places.PATIENCE)
        mailbox.user(user)
        try:
            said = mailbox.pass_(world.PASSWORD)
        except poplib.error_proto as why:
            said = why.args[0]
        mailbox.close()
        if not waits or said.startswith(b"+OK") or time.monotonic() > end:
            return said
        time.sleep(0.1)


def silly(place, sizes):
    """Deliveries of what is queued already, alone and while as much as possible is injected by SMTP and by
    qmail-inject."""
    row, taken, used = Row("silly qmail"), [], {False: [], True: []}
    place.start()
    backlog = min(sizes.messages, int(2 * place.rate * sizes.seconds) + 1)
    for _ in range(sizes.rounds):
        for rates, flood in ((row.alone, False), (row.loaded, True)):
            place.empty("joe", "sue")
            with place.deliveries_stopped():
                if place.source(backlog).wait(places.PATIENCE):
                    row.wrong.append("smtp-source failed")
                place.preprocessed()
                with contextlib.ExitStack() as stack:
                    if flood:
                        stack.enter_context(place.flooded())
                    place.go_on()
                    start, began = place.delivered("joe") + place.delivered("sue"), time.monotonic()
                    time.sleep(sizes.seconds)
                    rates.append((place.delivered("joe") + place.delivered("sue") - start) / (time.monotonic() - began))
                    used[flood].append(place.places_used())
            place.quiet()
            row.must(place.delivered("joe") == backlog, f"{place.delivered('joe')} of {backlog} messages delivered")
        taken.append(place.delivered("sue"))
    alone, beside_it = statistics.median(used[False]), statistics.median(used[True])
    row.notes.append(f"deliveries under way: {alone:.1f} alone, {beside_it:.1f} in the flood, of which "
                     f"{statistics.median(taken):.0f} messages were taken, and delivered")
    return row


SCENARIOS = {"idle": idle, "slow": slow, "both": both, "connector": connector, "deaf": deaf, "limits": limits,
             "pop3": pop3, "silly": silly}
