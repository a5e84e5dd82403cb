"""The log as programs read it: multilog's TAI64N stamps, and the lines that qmailanalog's matchup puts together.

Debian has no qmailanalog; Matchup below does what its manual says: every delivery becomes one line
`d RESULT BIRTH START END BYTES <SENDER> CHANNEL.RECIPIENT QP UID REASON`, every message one
`m BIRTH END BYTES SUCCESSES FAILURES DEFERRALS <SENDER> QP UID`, and what it cannot place is an error.
"""
import pwd
import re
import string

import pytest

from tests.peers.smtp_host import RCPT, Host
from tests.thirdparty.conftest import HOME, tool

pytestmark = [pytest.mark.root, pytest.mark.system]
RESULTS = {"success:": "k", "deferral:": "z", "failure:": "d"}
PRINTABLE = set(string.printable) - set("\t\r\v\f")


class Matchup:
    def __init__(self, lines):
        self.messages = {}              # number → [birth, bytes, sender, qp, uid, counts]
        self.deliveries = {}            # number → (message, start, to)
        self.d, self.m, self.status, self.bounces = [], [], [], []
        self.now = 0.0
        for line in lines:
            assert set(line) <= PRINTABLE, line
            stamp, _, text = line.partition(" ")
            seconds, nanoseconds = re.fullmatch(r"@4([0-9a-f]{15})([0-9a-f]{8})", stamp).groups()
            now = int(seconds, 16) + int(nanoseconds, 16) / 1e9
            assert now >= self.now, "time runs backwards"
            self.now = now
            self.read(text.split(" "))

    def read(self, words):
        match words:
            case ["status:", *_]:
                self.status.append(" ".join(words))
            case ["new", "msg", number]:
                assert number not in self.messages
                self.messages[number] = [self.now, None, None, None, None, dict.fromkeys("kdz", 0)]
            case ["info", "msg", number, "bytes", size, "from", sender, "qp", qp, "uid", uid]:
                message = self.messages[number.removesuffix(":")]
                assert number.endswith(":") and re.fullmatch("<[^<> ]*>", sender) and message[1] is None
                message[1:5] = int(size), sender, int(qp), int(uid)
            case ["starting", "delivery", delivery, "msg", number, "to", "local" | "remote" as channel, recipient]:
                assert delivery.endswith(":") and delivery[:-1] not in self.deliveries
                assert self.messages[number][1] is not None
                self.deliveries[delivery[:-1]] = number, self.now, f"{channel}.{recipient}"
            case ["delivery", delivery, result, reason]:
                number, start, to = self.deliveries.pop(delivery.removesuffix(":"))
                birth, size, sender, qp, uid, counts = self.messages[number]
                counts[RESULTS[result]] += 1
                assert delivery.endswith(":") and reason
                self.d.append((RESULTS[result], birth, start, self.now, size, sender, to, qp, uid, reason))
            case ["bounce", "msg", number, "qp", qp]:
                assert number in self.messages
                self.bounces.append(int(qp))
            case ["end", "msg", number]:
                birth, size, sender, qp, uid, counts = self.messages.pop(number)
                assert not any(delivery[0] == number for delivery in self.deliveries.values())
                self.m.append((birth, self.now, size, *(counts[result] for result in "kdz"), sender, qp, uid))
            case _:
                pytest.fail(f"unknown line: {words}")


@pytest.fixture(scope="module")
def sent(place, people):
    """(lines, reader, sender): the log of a life with a success, a deferral, a failure with its bounce, a remote
    delivery, a remote refusal, and a sender and a recipient that try to write lines of their own."""
    host, reader, sender = place(), people(), people()
    log = f"{host.place}/log"
    tool("multilog", "daemontools")
    host.run("install", "-d", "-o", "qmaill", log)
    words = ["env", "-", f"PATH={HOME}/bin:/usr/bin:/bin", "qmail-start", "./Maildir/", "multilog", "t", "s16777215",
             log]

    def lines():
        try:
            return host.read(f"{log}/current").decode("latin-1").splitlines()
        except FileNotFoundError:
            return []

    def send(sender_address, *to):
        done = host.run(f"{HOME}/bin/qmail-inject", "-a", f"-f{sender_address}", *to, user=sender,
                        input=b"Subject: x\n\nx\n")
        assert done.returncode == 0, done

    def running():
        return any("status: local 0/" in line for line in lines())

    with Host() as remote, host.daemon(*words, ready=running) as process:
        host.put(f"{host.home}/control/smtproutes", f":127.0.0.1:{remote.port}\n", 0o644)
        me = sender.name
        reader.file(".qmail-later", "|echo 'not yet'; exit 111\n")
        send(me, reader.name)                                                       # success
        send(me, f"{reader.name}-later")                                  # deferral, then success
        host.wait(lambda: any(" deferral: " in line for line in lines()))
        reader.file(".qmail-later", "./Maildir/\n")
        send(me, "nobody-at-all", "far@far.example")                      # failure and remote success
        send("two words\nnew msg 7@b.example", reader.name)          # a sender that is no word, nor one line
        host.wait(sender.messages)
        host.wait(lambda: remote.messages)
        remote.mood[RCPT] = b"550 no\tsuch user"
        send(me, "far@far.example")                                                 # remote failure
        host.wait(lambda: len(sender.messages()) == 2)
        process.send_signal(14)                                                     # the deferred one again
        host.wait(lambda: not host.in_queue())
        host.wait(lambda: sum("end msg" in line for line in lines()) == sum("new msg" in line for line in lines()))
    host.wait(lambda: lines()[-1].endswith(" status: exiting"))
    return lines(), reader, sender


def test_matchup(sent):
    lines, reader, sender = sent
    found = Matchup(lines)
    assert not found.messages and not found.deliveries
    assert len(found.m) == 7 and len(found.bounces) == 2
    results = [(result, user(to).replace(reader.name, "R").replace(sender.name, "S"))
               for result, *_, to, _, _, _ in found.d]
    assert sorted(results) == [
        ("d", "local.nobody-at-all"), ("d", "remote.far"), ("k", "local.R"), ("k", "local.R"), ("k", "local.R-later"),
        ("k", "local.S"), ("k", "local.S"), ("k", "remote.far"), ("z", "local.R-later")]
    assert all(birth <= start <= end and size > 0 for _, birth, start, end, size, *_ in found.d)
    assert {uid for *_, uid in found.m if uid != bounce_uid()} == {sender.uid}
    assert sorted(qp for *_, sender_address, qp, _ in found.m if sender_address == "<>") == sorted(found.bounces)


def user(to):
    """CHANNEL.USER: the domain is this machine's."""
    return to.partition("@")[0]


def bounce_uid():
    return pwd.getpwnam("qmails").pw_uid


def test_reasons(sent):
    """One word each, as qmail writes them: the report, white space as _, lines ended by /."""
    found = Matchup(sent[0])
    reasons = {(result, user(to)): reason for result, *_, to, _, _, reason in found.d}
    assert reasons["z", f"local.{sent[1].name}-later"] == "not_yet/"
    assert reasons["d", "local.nobody-at-all"] == "Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/"
    assert reasons["d", "remote.far"].startswith("127.0.0.1_does_not_like_recipient./Remote_host_said:_550_no")
    assert reasons["k", "remote.far"].startswith("127.0.0.1_accepted_message./Remote_host_said:_250_taken")
    assert reasons["k", f"local.{sent[1].name}"] == "did_1+0+0/"


def test_status_lines_count(sent):
    """The numbers in status lines go up and down with the deliveries."""
    found = Matchup(sent[0])
    shape = r"status: local \d+/20 remote \d+/40( exitasap)?"
    assert all(re.fullmatch(shape, line) for line in found.status[:-1]) and found.status[-1] == "status: exiting"
    assert sum("deliver" in line for line in sent[0]) == 2 * len(found.d) and len(found.status) >= 2 * len(found.d)


def test_tai64nlocal(sent, host):
    """What people pipe the log through understands every stamp."""
    done = host.run(tool("tai64nlocal", "daemontools"), input="\n".join(sent[0]).encode())
    assert all(re.match(rb"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} ", line) for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == len(sent[0])
