"""100,000 messages that are all deferred: a restart, the rate of new mail, memory; in the end all are delivered."""
import contextlib
import os
import shutil
import smtplib
import statistics
import threading
import time

from tests.extremes import site as sites
from tests.extremes.sink import Sink
from tests.peers import proc
from tests.powercut import world

ROUNDS = 3                          # of new mail on an empty and on a full queue, in turn
NEW = 1_000                         # messages of a round
PARALLEL = 10                       # connections
RATE = 0.8                          # of the rate on an empty queue
FIRST = 20                          # s from the restart to the first delivery
BYTES = 1_000                       # of memory a queued message
AGE = 3_600                         # s, of the waiting messages
TEXT = b"Subject: waiting\r\n\r\nThis waits.\r\n"


def backlog(site, table, options):
    count, new = options.messages, min(NEW, options.messages // 5)
    full = f"{site.home}/queue.full"
    shutil.copytree(f"{site.home}/queue", full, symlinks=True, copy_function=copy)
    own(f"{site.home}/queue", full)
    with sites.stopwatch() as taken:
        fill(site, full, count)
    table.figure("messages deferred", f"{count:,}", f"written in {taken[0]:.0f} s")
    rates, memory = {"empty": [], "full": []}, {}
    with Sink(rcpt=b"450 not now") as sink:
        for _ in range(1 if options.small else ROUNDS):
            for name in ("full",) if options.small else ("empty", "full"):
                with queue(site, full if name == "full" else None), started(site) as first:
                    memory[name] = settled(site)
                    rates[name].append(rate(site, new))
        table.figure("restart to the first delivery of a new message", f"{first[0]:.1f} s", f"bar {FIRST} s")
        table.figure("new mail, full queue", f"{statistics.median(rates['full']):.0f}/s")
        table.figure("memory of qmail-send (PSS), full", f"{memory['full']:,} kB")
        table.expect(memory["full"] < 40_000 + BYTES * count / 1024, f"qmail-send took {memory['full']} kB")
        if not options.small:
            against_empty(table, rates, memory, count)
            table.expect(first[0] < FIRST, "a restart with a full queue takes long")
        with queue(site, full):
            everything(site, table, sink, count)
    shutil.rmtree(full)


def against_empty(table, rates, memory, count):
    ratio = statistics.median(full / empty for full, empty in zip(rates["full"], rates["empty"]))
    empty = statistics.median(rates["empty"])
    table.figure("new mail, empty queue", f"{empty:.0f}/s", f"full: {ratio:.0%}, bar {RATE:.0%}")
    table.expect(ratio >= RATE, "new mail is slow behind a full queue")
    each = (memory["full"] - memory["empty"]) * 1024 / count
    table.figure("memory of qmail-send for each queued message", f"{each:.0f} bytes")
    table.expect(each < BYTES, f"{each:.0f} bytes a message")


def copy(source, target):
    """Whatever is in an empty queue: locks, and the trigger."""
    status = os.lstat(source)
    if os.path.isfile(source):
        shutil.copyfile(source, target)
    else:
        os.mkfifo(target)
    os.chmod(target, status.st_mode & 0o7777)
    return target


def own(source, target):
    """Owners and modes of what is below `target` are as below `source`."""
    for where, directories, names in os.walk(source):
        for name in (".", *directories, *names):
            status = os.lstat(f"{where}/{name}")
            path = f"{target}{where.removeprefix(source)}/{name}"
            os.chown(path, status.st_uid, status.st_gid)
            os.chmod(path, status.st_mode & 0o7777)


def fill(site, queue, count):
    """State S5 of qmail's INTERNALS: mess, info and remote, by those who would have written them."""
    from pyqmail.base import accounts
    from pyqmail.queue import check, names
    writer, sender, group = accounts.uid("qmailq"), accounts.uid("qmails"), accounts.gid("qmail")
    now = int(time.time())

    def write(path, data, owner, mode, when):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        os.write(fd, data)
        os.fchown(fd, owner, group)
        os.close(fd)
        os.utime(path, (when, when))

    for number in range(count):
        temporary = f"{queue}/pid/{number}"
        write(temporary, TEXT.replace(b"\r\n", b"\n"), writer, 0o644, now - AGE)
        inode = os.stat(temporary).st_ino
        os.rename(temporary, f"{queue}/{names.split('mess', inode)}")
        write(f"{queue}/{names.split('info', inode)}", b"F%b\0" % sites.SUE.encode(), sender, 0o600, now - AGE)
        write(f"{queue}/{names.split('remote', inode)}", b"Twaiting-%d@%b\0" % (number, world.REMOTE.encode()), sender,
              0o600, now + AGE + number % AGE)
    os.sync()
    if found := next(check.findings(queue, check.owners()), None):
        raise sites.Broken(f"this is no queue: {found}")


@contextlib.contextmanager
def queue(site, other):
    """The directory `other` is the queue, if not None. The system is stopped."""
    if other is None:
        yield
        return
    own_queue = f"{site.home}/queue"
    os.rename(own_queue, f"{own_queue}.own")
    os.rename(other, own_queue)
    try:
        yield
    finally:
        os.rename(own_queue, other)
        os.rename(f"{own_queue}.own", own_queue)


@contextlib.contextmanager
def started(site):
    """The system is started, and a message is sent as soon as somebody takes it. Yields [seconds until it was
    delivered]."""
    site.empty("joe")
    began = time.monotonic()
    site.ctl("start")
    site.until(lambda: sent(site), "mail is taken after a start")
    site.until(lambda: site.arrived("joe"), "the first message after a start")
    try:
        yield [time.monotonic() - began]
    finally:
        site.stop()


def sent(site):
    try:
        site.send(sites.SUE, sites.JOE)
    except (OSError, smtplib.SMTPException):
        return False
    return True


def settled(site):
    """qmail-send's PSS in kB."""
    [process] = proc.of(site.home, "qmail-send")
    with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def rate(site, count):
    """Messages a second, from SMTP into a Maildir."""
    site.empty("joe")
    each, failures = count // PARALLEL, []

    def client():
        try:
            for _ in range(each):
                site.send(sites.SUE, sites.JOE, text=TEXT)
        except Exception as why:            # the count will show it; this says what it was
            failures.append(why)
    threads = [threading.Thread(target=client) for _ in range(PARALLEL)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    site.until(lambda: site.arrived("joe") >= each * PARALLEL, "new mail")
    return each * PARALLEL / (time.monotonic() - began)


def everything(site, table, sink, count):
    """The other host takes mail again: each message goes there, once."""
    sink.rcpt = b"250 ok"
    site.control("concurrencyremote", "100")
    site.start()
    with sites.stopwatch() as taken:
        site.doqueue()
        site.until(site.is_empty, "all that waited is delivered", sites.PATIENCE + count // 50)
    site.stop()
    site.undo()
    wanted = {b"waiting-%d@%b" % (number, world.REMOTE.encode()) for number in range(count)}
    taken_of = set(sink.taken)
    table.expect(taken_of == wanted, f"{len(wanted - taken_of)} lost, {len(taken_of - wanted)} strange")
    table.expect(set(sink.taken.values()) == {1}, "some were delivered more than once")
    table.figure("all delivered, each once, in", f"{taken[0]:.0f} s", f"{count / taken[0]:.0f}/s")
