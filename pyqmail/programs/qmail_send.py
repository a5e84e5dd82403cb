"""qmail-send: deliver mail messages from the queue.

    qmail-send [--wide-remote]        started by qmail-start, never by hand

Reads and writes, on the descriptors that qmail-start wired:
    0 log    1 2 orders to and reports from qmail-lspawn    3 4 the same, qmail-rspawn    5 6 qmail-clean
Messages come through queue/todo (lock/trigger says when), stay in info, local and remote while they
are delivered, and leave through qmail-clean. Signals: TERM ends, after running deliveries; ALRM makes
everything due; HUP reads locals and virtualdomains again, and which messages are held. --wide-remote: delivery
numbers and the greeting on 3 and 4 have two bytes (spawn/wire.py), for more than 255 remote deliveries at once.
With QMAILSERVICE in the environment that descriptor (7) is at its end when there is no queue service any more, and
then qmail-send ends as well.

Exit: 0 after TERM or when a companion is lost; 111 if it cannot start, with a line in the log.

**Security**: uid qmails, group qmail, working directory queue/. Never root, starts nothing but
qmail-queue for bounces, touches no mailbox; confined to the queue and the control files (send.confined). Trusts nobody: addresses and reports are data from
strangers, bounded and made safe before they are logged.

One thread runs the loop below and owns all state. Threads of send/workers.py do what waits on
the disk or on qmail-queue. Hence this program never forks.
Source: qmail-send(8), qmail's INTERNALS, qmail-log(5).
"""
import fcntl
import os
import select
import sys

from ..base import errors, home, sig
from ..base.clock import Clock, JumpDetector
from ..queue import names
from ..send import messages
from ..send.channel import Channel
from ..send.cleaner import Cleaner
from ..send.confined import confined
from ..send.controls import Controls, Reread
from ..send.deliveries import Deliveries
from ..send.finish import BOUNCES, Finisher
from ..send.hands import Hands
from ..send.known import Known
from ..send.restart import Entry
from ..send.scheduler import Due, latest
from ..send.sweep import Sweep
from ..send.todo import Todo
from ..send.workers import Pool, Wake
from ..spawn import wire

#  channel   orders  reports
PIPES = (("local", 1, 2), ("remote", 3, 4))
SERVICE = 7
ROUNDS = 64                         # steps of each kind a turn, before reports are looked at again
SLACK = 1                           # s added to every wait for a due time
LONGEST_WAIT = 60                   # s; then the clock is looked at: it may have been set
PAUSE = 10                          # s, the whole program, after trouble that blocks everything
PREPROCESSORS, SYNCERS = 3, 4   # threads; started when needed. While one syncs a batch, another makes the next
SWITCH = 0.0005                     # s a thread may compute while the loop wants to


class CannotStart(Exception):
    """Its text is the log line's."""


def main(argv):
    watched, wide = os.environb.pop(b"QMAILSERVICE", None) == b"%d" % SERVICE, b"--wide-remote" in argv
    if len(argv) != wide:
        errors.say("qmail-send: usage: qmail-send [--wide-remote]")
        return errors.PERMANENT
    log = messages.Log(0)
    try:
        controls = start()
        channels = {name: channel(name, orders, reports, controls.concurrency[name],
                                  2 if name == "remote" and wide else 1) for name, orders, reports in PIPES}
        sandbox = confined(log)
    except Exception as why:        # descriptor 2 is a pipe to qmail-lspawn here: nobody else would tell
        text = why if isinstance(why, CannotStart) else errors.unforeseen(why)
        log.say(f"alert: cannot start: {text}".encode())
        log.flush()
        return errors.TEMPORARY
    Sender(log, controls, channels, sandbox, SERVICE if watched else None).run()
    return 0


def start():
    """Controls, working directory and lock, in this order. Raises CannotStart. The lock lasts as long as
    the process."""
    sig.ignore_pipe()
    sig.default(sig.CHLD, sig.INT)
    if not is_there(home.path(".")):
        raise CannotStart("unable to switch to home directory")
    try:
        controls = Controls()
    except errors.Temporary:
        raise CannotStart("unable to read controls") from None
    try:
        os.chdir(home.path("queue"))
    except OSError:
        raise CannotStart("unable to switch to queue directory") from None
    os.umask(0o077)
    try:
        mutex = os.open(names.SENDMUTEX, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise CannotStart("unable to open mutex") from None
    try:
        fcntl.flock(mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CannotStart("qmail-send is already running") from None
    for fd in range(8):
        try:
            os.set_inheritable(fd, False)
        except OSError:
            pass                    # not open: whoever needs it will notice
    sys.setswitchinterval(SWITCH)
    return controls


def is_there(directory):
    """True if a directory, given with a "." behind it, could be entered."""
    try:
        os.stat(directory)
        return True
    except OSError:
        return False


def channel(name, orders, reports, concurrency, width):
    """A channel whose spawner has said hello. Raises CannotStart."""
    try:
        limit = wire.read_hello(b"".join(os.read(reports, 1) for _ in range(width)), width)
    except (OSError, ValueError):
        raise CannotStart("hath the daemon spawn no fire?") from None
    return Channel(name, orders, reports, min(concurrency, limit), width)


class Sender:
    """The loop. Each part of the state has one owner, made here and wired to the others. service: a descriptor that
    is at its end when there is no queue service any more; None if there need not be one."""

    def __init__(self, log, controls, channels, sandbox, service=None):
        self.log, self.controls, self.channels, self.sandbox = log, controls, channels, sandbox
        self.service = service
        self.clock = Clock()
        self.jumps = JumpDetector(self.clock)
        self.wake = Wake()
        self.ending = self.hurry = self.reread_asked = False
        self.signals = 0            # how many came
        self.catch_signals()
        queue = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.preprocessors, self.syncers, self.bouncers = pools = [
            Pool(threads, self.wake) for threads in (PREPROCESSORS, SYNCERS, BOUNCES)]
        self.pools, self.done, self.hands, known = pools, Due(), Hands(log), Known()
        self.cleaner = Cleaner(self.clean_lost)
        self.deliveries = Deliveries(self.clock, log, controls, channels, self.done, self.syncers,
                                     lambda: self.ending, self.pause, self.hands, known)
        self.finisher = Finisher(self.clock, log, self.bouncers, self.cleaner, controls, self.done, queue, self.hands,
                                 known)
        self.entry = Entry(self.clock, log, channels, self.done, self.pause, self.hands,
                           controls.lifetime)
        self.entry.everything()
        self.deliveries.status()
        self.todo = Todo(self.clock, log, self.preprocessors, self.cleaner, controls, channels, self.done, queue,
                         self.pause, self.finisher.injecting, self.hands, known)
        self.sweep = Sweep(self.clock, log, self.cleaner, self.pause)
        for one in channels.values():
            try:
                os.set_blocking(one.orders, False)
            except OSError:
                self.spawner_lost(one)

    def catch_signals(self):
        def ask(name):
            def handler():
                setattr(self, name, True)
                self.signals += 1
            return handler
        sig.wakeup(self.wake.writer)
        sig.catch(sig.TERM, ask("ending"))
        sig.catch(sig.ALRM, ask("hurry"))
        sig.catch(sig.HUP, ask("reread_asked"))

    # ------------------------------------------------------------ the loop

    def run(self):
        while not self.ending or self.under_way():
            try:
                self.turn()
            except MemoryError:
                self.pause("alert: out of memory, sleeping...")
            except Exception as why:        # a bug must not stop the mail of everybody
                self.blame()
                self.pause(f"alert: internal error: {why!r:.300}{errors.where(why)}, sleeping...".replace("\n", " "))
        self.entry.store_times()
        self.log.say(b"status: exiting")
        self.log.flush()

    def blame(self):
        """The loop came to grief over a message. Once that message is set aside we begin anew: what we know
        may be as wrong as it."""
        number = self.hands.in_loop
        self.hands.loop(0)
        if number:
            self.hands.blame({"loop": {number}})
            self.ending |= number in self.hands.aside

    def under_way(self):
        """True if something must be awaited before the end: deliveries whose spawner lives, and work of threads."""
        return (any(one.used and one.alive for one in self.channels.values())
                or any(pool.active for pool in self.pools)
                or self.cleaner.alive and self.cleaner.outstanding)

    def turn(self):
        self.log.flush()
        self.write_pipes()
        ready = self.wait()
        self.take_signals()
        self.take_clock()
        if self.wake.reader in ready:
            self.wake.clear()
        for one in self.channels.values():
            if one.alive and one.reports in ready and not self.deliveries.reports(one):
                self.spawner_lost(one)
        if self.cleaner.outstanding and self.cleaner.answers in ready:
            self.cleaner.receive()
        if self.service in ready:
            self.service_lost()
        for pool in self.pools:
            pool.collect()
        self.todo.release()
        if not self.ending:
            self.todo.step(self.todo.trigger in ready)
        for _ in range(ROUNDS):
            if not self.round():
                break
        self.hands.loop(0)
        self.hands.let_go(self.busy)
        self.sweep.step()

    def busy(self, number):
        """True while something of this message is under way."""
        return self.deliveries.busy(number) or self.todo.busy(number) or self.finisher.busy(number)

    def round(self):
        """One step of each kind; local and remote deliveries start in turn. False when nothing was to do."""
        busy = False
        for one in self.channels.values():
            if not self.ending and self.deliveries.step(one):
                busy = True
        if self.entry.step():
            busy = True
        if self.finisher.step():
            busy = True
        return busy

    def write_pipes(self):
        self.cleaner.send()
        for one in self.channels.values():
            if not one.write():
                self.spawner_lost(one)
        self.log.flush()

    # ------------------------------------------------------------ waiting

    def wait(self):
        """Wait until something is to do; the set of readable descriptors."""
        poll = select.poll()
        poll.register(self.wake.reader, select.POLLIN)
        for one in self.channels.values():
            if one.alive:
                poll.register(one.reports, select.POLLIN)
            if one.writing:
                poll.register(one.orders, select.POLLOUT)
        if self.cleaner.alive and self.cleaner.outstanding:
            poll.register(self.cleaner.answers, select.POLLIN)
        if self.service is not None:
            poll.register(self.service, select.POLLIN)
        if self.todo.trigger is not None and not (self.ending or self.todo.scanning or self.todo.waiting):
            poll.register(self.todo.trigger, select.POLLIN)
        return {fd for fd, _ in poll.poll(self.patience())}

    def patience(self):
        """Milliseconds until the next thing is due."""
        if self.ready_now():
            return 0
        due = [self.sweep.next_sweep, self.entry.failed.first()]
        if not self.cleaner.crowded:
            due.append(self.done.first())
        if not self.ending:
            due.append(self.todo.next_scan if not self.todo.scanning and not self.todo.waiting else None)
            if self.deliveries.room:
                due += [one.due.first() for one in self.channels.values() if one.reading is None]
        seconds = min((time for time in due if time is not None)) - self.clock.now()
        return 0 if seconds <= 0 else min(seconds + SLACK, LONGEST_WAIT) * 1000

    def ready_now(self):
        if any(pool.ready for pool in self.pools) or self.finisher.ready:
            return True
        if self.sweep.sweeping and not self.cleaner.crowded:
            return True
        return not self.ending and (self.todo.wants_turn
                                    or any(self.deliveries.wants_turn(one) for one in self.channels.values()))

    def pause(self, line):
        """Trouble that stops everything: say so, and wait. Ends early at a signal only."""
        self.log.say(line.encode())
        self.log.flush()
        end, signals = self.clock.monotonic() + PAUSE, self.signals
        while (left := end - self.clock.monotonic()) > 0 and self.signals == signals:
            select.select([self.wake.reader], [], [], left)
            self.wake.clear()       # work that threads finished meanwhile is seen by ready_now()

    # ------------------------------------------------------------ events

    def take_signals(self):
        if self.hurry:
            self.hurry = False
            for one in self.channels.values():
                one.due.all_due(self.clock.now())
        if self.reread_asked:
            self.reread_asked = False
            self.reread()

    def reread(self):
        """locals and virtualdomains. We stay in the queue that we have locked, but say what qmail says when
        QMAILHOME or its queue is away."""
        if not is_there(home.path(".")):
            self.log.say(b"alert: unable to reread controls: unable to switch to home directory")
            return
        try:
            self.controls.reread()
        except Reread as why:
            self.log.say(f"alert: unable to reread control/{why}".encode())
            if self.sandbox and self.sandbox.outgrown():
                self.log.say(b"alert: control files are where qmail-send may not look; it must be restarted")
        if released := set(self.hands.read_again()):
            for due in (self.done, *(one.due for one in self.channels.values())):
                due.hasten(released, self.clock.now())
            self.todo.scan_again()
        while not is_there(home.path("queue", ".")):
            self.pause("alert: unable to switch back to queue directory; HELP! sleeping...")

    def take_clock(self):
        """The clock was set: what is waited for must not wait longer for it, nor messages be older."""
        seconds = self.jumps.jump()
        if not seconds:
            return
        self.deliveries.births.jumped(seconds)
        if seconds < 0:
            now = self.clock.now()
            for due in (self.done, self.entry.failed, *(one.due for one in self.channels.values())):
                due.move(-seconds, now, latest(now, self.controls.lifetime))
            self.todo.clock_set_back(-seconds)
            self.sweep.clock_set_back(-seconds)

    def spawner_lost(self, one):
        if not self.ending:
            self.hands.blame({one.name: one.numbers})
        self.log.say(b"alert: oh no! lost spawn connection! dying...")
        one.alive = False
        self.ending = True

    def service_lost(self):
        self.log.say(b"alert: oh no! lost qmail-queue service! dying...")
        self.service, self.ending = None, True

    def clean_lost(self):
        self.log.say(b"alert: oh no! lost qmail-clean connection! dying...")
        self.ending = True
