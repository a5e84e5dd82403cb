"""The short form of the power cuts; the long one is `python -m tests.powercut`, see doc/RELIABILITY.md."""
import collections
import os
import shutil
import subprocess
import sys

import pytest

from tests.powercut import account, seeded, states

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CUTS = 20


@pytest.fixture(scope="module")
def loop_devices():
    for program, package in (("mkfs.xfs", "xfsprogs"), ("mkfs.ext4", "e2fsprogs"), ("losetup", "mount")):
        assert shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin"), f"no {program}: apt-get install {package}"
    found = subprocess.run(["losetup", "--find"], capture_output=True, text=True)
    if found.returncode or not os.access(found.stdout.strip(), os.R_OK):
        pytest.skip(f"no loop devices here ({(found.stderr or found.stdout).strip()}): no power cuts")
    with open("/proc/filesystems", encoding="ascii") as f:
        kinds = set(f.read().split())
    if not {"xfs", "ext4"} <= kinds:
        subprocess.run(["modprobe", "-a", "xfs", "ext4"], capture_output=True)
        with open("/proc/filesystems", encoding="ascii") as f:
            if not {"xfs", "ext4"} <= set(f.read().split()):
                pytest.skip("this kernel has no XFS or no ext4: no power cuts")


@pytest.mark.root
@pytest.mark.system
def test_nothing_promised_is_lost(loop_devices, tmp_path):
    """A whole system under load, its power cut some twenty times: all services start on what the disk has then, and
    every promise made before is kept."""
    report = tmp_path / "report"
    done = subprocess.run([sys.executable, "-m", "tests.powercut", "--ext4", str(CUTS), "--xfs", "0", "--full", "10",
                           "--report", str(report)], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = report.read_text()
    assert f"ext4: nothing changed: {CUTS} cuts" in text and "lost: 0; damaged: 0; twice in a Maildir: 0" in text, text
    for kind in ("SMTP", "QMTP", "vadduser", "valias -i"):
        assert f"{kind} " in text, text


@pytest.mark.parametrize("bug", seeded.BUGS, ids=lambda bug: bug.name)
def test_each_seeded_bug_still_fits_the_programs(bug, tmp_path):
    shutil.copytree(f"{ROOT}/pyqmail", tmp_path / "pyqmail", ignore=shutil.ignore_patterns("__pycache__"))
    bug.apply(str(tmp_path / "pyqmail"))
    differ = subprocess.run(["diff", "-rq", "-x", "__pycache__", f"{ROOT}/pyqmail", tmp_path / "pyqmail"],
                            capture_output=True, text=True).stdout.splitlines()
    assert differ
    for line in differ:
        with open(line.split()[3], encoding="utf-8") as f:
            compile(f.read(), line.split()[3], "exec")


class Counted:
    """Stands for account.Found."""

    def __init__(self, place, copies):
        self.world, self.damaged = place, []
        self.copies = collections.defaultdict(lambda: collections.defaultdict(list))
        for where, number, text in copies:
            self.copies[where][number].append(text)


def judged(monkeypatch, copies, **changes):
    message = {"kind": "maildir", "by": "SMTP", "expected": [["joe", "maildir", ""]], "then": [], "asked": 1.0,
               "given": 2.0}
    ledger = {"messages": {"1": {**message, **changes.get("message", {})}}, "states": [],
              "taken": changes.get("taken", []), "far": []}
    return account.judge(ledger, {"begin": 3.0, "end": 4.0}, Counted(None, copies))


def test_what_counts_as_lost(monkeypatch):
    """The judge itself: promised before the cut, and nowhere."""
    text = b"Promise: 1\nend of 1\n"
    assert not judged(monkeypatch, [("joe", 1, text)])["lost"]
    assert judged(monkeypatch, [])["lost"] and judged(monkeypatch, [("sue", 1, text)])["lost"]
    assert not judged(monkeypatch, [], message={"given": 3.5})["lost"]             # promised too late to count
    assert not judged(monkeypatch, [], message={"given": None})["lost"]
    taken = {"by": "POP3", "place": "joe", "numbers": [1], "asked": 3.9, "given": None}
    assert not judged(monkeypatch, [], taken=[taken])["lost"]
    assert judged(monkeypatch, [], taken=[{**taken, "asked": 4.1}])["lost"]
    assert judged(monkeypatch, [("joe", 1, text)] * 3)["twice"] == {"maildir": 2}
    bounce = {"expected": [["joe", "bounce", "x@far.example"]]}
    assert judged(monkeypatch, [("joe", 1, text)], message=bounce)["lost"]          # the reason is missing
    assert not judged(monkeypatch, [("joe", 1, b"<x@far.example>:\nno\n\n" + text)], message=bounce)["lost"]


def test_what_is_done_to_a_message_by_hand(monkeypatch):
    text = b"Promise: 1\nend of 1\n"
    deleted = {"program": "qmailctl queue delete", "expected": [], "asked": 2.1, "given": 2.2}
    assert judged(monkeypatch, [("joe", 1, text)], message={"then": [deleted]})["lost"]
    assert not judged(monkeypatch, [], message={"then": [deleted]})["lost"]
    under_way = {"then": [{**deleted, "given": 3.5}]}
    assert not judged(monkeypatch, [("joe", 1, text)], message=under_way)["lost"]
    assert not judged(monkeypatch, [], message=under_way)["lost"]
    expired = {"then": [{**deleted, "expected": [["alias", "double bounce", ""]]}]}
    assert judged(monkeypatch, [("joe", 1, text)], message=expired)["lost"]
    assert not judged(monkeypatch, [("alias", 1, text)], message=expired)["lost"]


@pytest.mark.parametrize("said, given, wrong", [
    ("new", 2.0, False), ("old", 2.0, True), ("old", 3.5, False), ("new", 3.5, False), ("old", None, False),
    ("other", None, True)])
def test_what_programs_have_changed(monkeypatch, said, given, wrong):
    """Told before the cut: it is so. Asked for: either."""
    monkeypatch.setattr(states, "look", lambda place, what, name: {"a file": said})
    changes = [{"program": "valias -i", "what": "alias", "name": "a", "value": value, "asked": asked, "given": when}
               for value, asked, when in (("old", 1.0, 1.1), ("new", 1.5, given))]
    verdict = {name: collections.Counter() for name in ("promised", "broken")} | {"lost": []}
    account.judge_states({"states": changes}, {"begin": 3.0, "end": 4.0}, None, verdict)
    assert bool(verdict["lost"]) == wrong and verdict["promised"]["valias -i"] == 1 + (given == 2.0)
