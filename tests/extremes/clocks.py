"""Clocks that are set while mail is delivered, deferred, just queued and being sent, and that are set right again.

The system runs from a copy that a SetClock steers. For each jump: mail in every state, the jump, more mail, the clock
is set right, more mail; then hours pass until everything that waited has been tried again.
"""
import collections
import glob
import os
import poplib
import re
import time

from tests.extremes import site as sites
from tests.extremes.large import Client
from tests.extremes.sink import Sink
from tests.powercut import world

HOUR, DAY, YEAR = 3600, 86_400, 31_557_600
JUMPS = {"1 hour forwards": HOUR, "10 days forwards": 10 * DAY, "68 years forwards": 68 * YEAR,
         "1 hour backwards": -HOUR, "10 days backwards": -10 * DAY, "back to 1970": None}
SMALL = ("10 days forwards", "back to 1970")
EACH = 5                            # messages of a kind sent at a time
PASSES = 26                         # hours after which nothing may wait any more
ATTEMPTS = 3                        # that settings of the clock may add for one recipient, both of them together
STARTING = re.compile(r"starting delivery \d+: msg (\d+) to \S+ (\S+)")
RUNNING = re.compile(r"status: local (\d+)/\d+ remote (\d+)/")
QUIET = 0.5                         # s without a line in the log: nothing moves


def clocks(site, table, options):
    site.dotqmail("alias", "gate-default", f"|test -e {site.home}/gate || exit 111\n./Maildir/\n")
    site.code("clocked")
    try:
        for name in SMALL if options.small else JUMPS:
            with Sink() as sink, site.running(concurrencyremote="20"):
                Trial(site, table, sink).run(name, JUMPS[name])
    finally:
        site.code("good")
        site.undo()


class Trial:
    def __init__(self, site, table, sink):
        self.site, self.table, self.sink, self.clock = site, table, sink, site.clock
        self.numbers, self.ann = 0, 0
        self.gated, self.far = set(), set()

    def run(self, name, seconds):
        site, sink, clock = self.site, self.sink, self.clock
        sink.rcpt = b"450 not now"
        if os.path.exists(f"{site.home}/gate"):
            os.unlink(f"{site.home}/gate")
        self.send()
        self.settle()
        before = self.attempts()
        slow, open_session = Client(), self.pop3()
        slow.ask(f"MAIL FROM:<{sites.SUE}>")
        slow.ask(f"RCPT TO:<{sites.ANN}>")
        slow.ask("DATA")
        slow.sock.sendall(b"Subject: slow\r\n\r\nthe first half\r\n" + b"x" * 70_000 + b"\r\n")
        clock.set(seconds if seconds is not None else 1000 - clock.now())
        self.send()                                     # wakes qmail-send, which looks at the clock once a minute
        self.settle()
        self.send()
        self.settle()
        reply = slow.ask("the second half\r\n.")
        self.ann += 1
        self.table.expect(reply.startswith("250"), f"{name}: a message that was being sent: {reply}")
        self.table.expect(open_session.noop().startswith(b"+OK"), f"{name}: a POP3 session that was open")
        open_session.quit()
        self.settle()
        clock.right()
        self.send()
        self.settle()
        added = self.attempts()
        most = max((added[which] - before[which] for which in before), default=0)
        self.table.expect(most <= ATTEMPTS, f"{name}: {most} attempts at one recipient")
        self.table.expect(not self.bounces(), f"{name}: {self.bounces()} messages were given up")
        self.restart_and_look(name)
        self.finish(name, most)

    # ------------------------------------------------------------ steps

    def send(self):
        """Some that will be delivered, some that will be deferred."""
        for _ in range(EACH):
            self.numbers += 1
            gated, far = f"gate-{self.numbers}@{world.DOMAIN}", f"clock-{self.numbers}@{world.REMOTE}"
            for recipients in ((sites.ANN,), (gated, far), (far.replace("clock", "alone"),)):
                self.site.send(sites.SUE, *recipients)
            self.ann += 1
            self.gated.add(gated)
            self.far |= {far.encode(), far.replace("clock", "alone").encode()}
        self.site.until(lambda: self.site.arrived("ann") >= self.ann, "mail is delivered at once, whatever the clock")

    def settle(self):
        """Until nothing moves: no delivery runs, todo is empty, and no line comes into the log for a while."""
        log = f"{self.site.home}/log/send/current"

        def quiet():
            before = os.stat(log).st_size
            time.sleep(QUIET)
            if before != os.stat(log).st_size or os.listdir(f"{self.site.home}/queue/todo"):
                return False
            statuses = RUNNING.findall(self.site.log())
            return not statuses or statuses[-1] == ("0", "0")
        self.site.until(quiet, "nothing moves any more", 300)

    def pop3(self):
        session = poplib.POP3("127.0.0.1", world.POP3, timeout=60)
        session.user(sites.ANN)
        session.pass_(world.PASSWORD)
        return session

    def log(self):
        text = ""
        for path in [*sorted(glob.glob(f"{self.site.home}/log/send/@*")), f"{self.site.home}/log/send/current"]:
            with open(path, encoding="utf-8", errors="replace") as f:
                text += f.read()
        return text

    def attempts(self):
        """{recipient: how often it was tried}"""
        return collections.Counter(recipient for _, recipient in STARTING.findall(self.log())
                                   if recipient.startswith(("gate-", "alias-gate-", "clock-", "alone-"))
                                   and self.is_ours(recipient))

    def is_ours(self, recipient):
        return recipient in self.gated or recipient.encode() in self.far

    def bounces(self):
        return self.site.arrived("sue")

    # ------------------------------------------------------------ afterwards

    def restart_and_look(self, name):
        """When each waiting message is due, as qmail-send writes it down when it ends."""
        site = self.site
        site.stop()
        latest = max((os.stat(path).st_mtime for kind in ("local", "remote")
                      for path in glob.glob(f"{site.home}/queue/{kind}/*/*")), default=0)
        ahead = latest - self.clock.now()
        self.table.expect(ahead <= DAY + 60, f"{name}: something waits for {ahead / HOUR:.1f} hours")
        site.start()

    def finish(self, name, most):
        """Hours pass; what waited is delivered, once."""
        site, sink = self.site, self.sink
        sink.rcpt = b"250 ok"
        with open(f"{site.home}/gate", "w", encoding="ascii"):
            pass
        hours = 0
        while site.unfinished():
            if hours == PASSES:
                raise sites.Broken(f"{name}: stuck: {site.ctl('queue')[1][-2000:]}\n{site.log()[-3000:]}")
            hours += 1
            self.clock.pass_(HOUR)
            site.send(sites.SUE, sites.ANN)             # wakes it
            self.ann += 1
            site.until(lambda: site.arrived("ann") >= self.ann, "new mail")
            self.settle()
        self.table.figure(f"clock {name}, and right again: attempts that this added, at most", f"{most}")
        self.table.figure("  hours until all that waited was delivered, each once", f"{hours}")
        copies = collections.Counter(text.partition(b"Delivered-To: ")[2].partition(b"\n")[0]
                                     for text in site.texts("alias"))
        got = {one.decode().removeprefix("alias-") for one in copies}
        twice = [one for one in copies if copies[one] > 1]
        self.table.expect(got == self.gated and not twice, f"{name}: lost {sorted(self.gated - got)}, twice {twice}")
        self.table.expect(set(sink.taken) == self.far and set(sink.taken.values()) == {1},
                          f"{name}: lost {sorted(self.far - set(sink.taken))}, or more than once")
        self.table.expect(not self.bounces(), f"{name}: {self.bounces()} messages were given up")
        self.clock.pass_((PASSES - hours) * HOUR)
        reader = self.pop3()
        self.table.expect(reader.stat()[0] == site.arrived("ann") == self.ann,
                          f"{name}: POP3 shows {reader.stat()[0]} of {site.arrived('ann')}, sent were {self.ann}")
        reader.quit()
        site.empty("ann", "alias", "sue")
