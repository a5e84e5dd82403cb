"""10: a long queue. An installation with an empty queue and one whose queue is full take turns."""
import contextlib
import json
import os
import pwd
import subprocess
import sys
import time

from .. import load, processes
from ..bench import Clock, Part, Work, arriving, settle
from ..peers import DOMAIN
from ..peers.pyqmail import SPLIT, Pyqmail
from .smtp_to_maildir import PERSON, deliver

LENGTHS = (0, 1000, 10_000, 100_000)
LATER = 5 * 86_400                      # s until the queued messages are due
SIMULATED = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from pyqmail.send import scheduler
def used(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, due = used(), scheduler.Due()
for number in range(10_000_000, 10_000_000 + int(sys.argv[2])): due.add(2_000_000_000 + number % 99_991, number)
print(json.dumps(used() - before))
"""


class LongQueue(Work):
    """A round: new mail into the empty queue and into the full one, at each length of it."""

    name, title, against, with_c_qmail, rounds = "10", "100,000 messages queued, all deferred", None, False, 1
    parts = [Part("kept", "rate of new mail, of that with an empty queue", "%", 80, absolute=True),
             Part("first", "start until the first delivery", "s", 20, less=True, absolute=True),
             Part("bytes", "memory of qmail-send", "bytes/message", less=True, absolute=True),
             Part("simulated", "of its scheduler at 1,000,000", "bytes/message", less=True, absolute=True)]

    @contextlib.contextmanager
    def ready(self, bench):
        self.full = Pyqmail(bench.place, bench.source, "pyqmail-full", (2527, 2112))
        bench.add(self.full)
        yield
        self.full.stop()

    def round(self, bench, peer):
        found, memory, there = {"lengths": {}}, {}, 0
        for length in bench.amount(LENGTHS, (0, 200)):
            self.full.stop()
            fill(self.full.home, length - there)
            there = length
            found["first"] = self.first_delivery(bench)
            memory[length] = self.of_send()
            found["lengths"][str(length)] = point = self.compare(bench, peer, length)
            point["first"] = found["first"]
            bench.tell(f"10: {length} queued: {point['kept']:.0f} % of {point['rate']:.0f}/s, first delivery after "
                       f"{point['first']:.1f} s, qmail-send {memory[length] / 2**20:.1f} MB")
        return {**found, "kept": point["kept"], "bytes": (memory[there] - memory[0]) / there,
                "simulated": simulated(bench.source, bench.amount(1_000_000, 10_000))}

    def first_delivery(self, bench):
        """Seconds from the start until a message that is sent at once lies in new/."""
        with arriving(bench.people.get(PERSON)) as arrivals:
            clock = Clock()
            self.full.start()
            load.sent(load.source(self.full.smtp, f"{PERSON}@{DOMAIN}", 1))
            arrivals.wait(1)
            return clock()

    def of_send(self):
        return sum(processes.proportional(pid) * 1024 for pid, program in processes.pids(self.full.program).items()
                   if program == "qmail-send")

    def compare(self, bench, peer, length):
        """Medians of pairs: messages/s and ms of processor time with the queue so long; % of the rate without."""
        pairs, messages = [], bench.amount(1000, 20)
        for _ in range(bench.amount(5 if length == LENGTHS[-1] else 3, 1)):
            pairs.append([deliver(bench, which, messages) for which in (peer, self.full)])
            settle(peer)
            load.until(lambda: self.full.queued() == 2 * length, "the new mail to leave the queue")
        pairs.sort(key=lambda pair: pair[1]["rate"] / pair[0]["rate"])
        without, full = pairs[len(pairs) // 2]
        return {"rate": full["rate"], "cpu": full["cpu"], "kept": 100 * full["rate"] / without["rate"]}


def fill(home, messages):
    """So many messages for another host whose next attempt is far away, as qmail-send has left them: mess, info and
    remote. The installation does not run."""
    queue, send = pwd.getpwnam("qmailq"), pwd.getpwnam("qmails")
    now = int(time.time())
    texts = (("mess", b"Subject: benchmark\n\n" + b"x" * 200 + b"\n", queue.pw_uid, queue.pw_gid, 0o644, now),
             ("info", b"Fsender@client.example\0", send.pw_uid, send.pw_gid, 0o600, now),
             ("remote", b"Tsomeone@far.example\0", send.pw_uid, send.pw_gid, 0o600, now + LATER))
    for count in range(messages):
        number = None
        for kind, text, uid, gid, mode, date in texts:
            path = f"{home}/queue/{kind}/{number % SPLIT}/{number}" if number else f"{home}/queue/pid/{count}"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            os.write(fd, text)
            os.fchown(fd, uid, gid)
            os.utime(fd, (date + count % 3600, date + count % 3600) if kind == "remote" else (date, date))
            if number is None:
                number = os.fstat(fd).st_ino
                os.rename(path, f"{home}/queue/mess/{number % SPLIT}/{number}")
            os.close(fd)
    os.sync()


def simulated(source, messages):
    """Bytes that the scheduler's list takes for a message, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", SIMULATED, source, str(messages)], check=True, capture_output=True)
    return json.loads(done.stdout) / messages
