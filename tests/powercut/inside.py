"""What runs in the namespaces of a World; see __main__.py.

    python -m tests.powercut.inside PLACE build KIND IMAGE
    python -m tests.powercut.inside PLACE load JOB      JOB, REPORT: JSON files
    python -m tests.powercut.inside PLACE verify JOB
"""
import json
import os
import random
import signal
import sys
import time

from tests.powercut import account, administer, disk, far, load, readers, states, ways_in, world
from tests.powercut.ledger import Ledger

PATIENCE = 90                       # s for a queue to be finished
ALARM = 5                           # s until all that waits is tried again


def build(place, kind, image):
    """An image with an installation that has never run."""
    place.enter("good")
    target = disk.Disk(image, kind, place.disk)
    target.make()
    target.mount()
    place.install()
    target.move_apart()
    target.unmount()


def work(place, job):
    """Run the system under load and copy its disk again and again. The report: the ledger, the cuts, troubles."""
    place.enter(job["code"])
    disk.Disk(job["image"], job["kind"], place.disk).mount()
    place.must("qmailctl", "start")
    ledger, cuts = Ledger(), []
    with load.Load(place, ledger, **job["load"]) as running:
        world.until(lambda: ledger.given >= 5, pause=0.1)
        for number in range(job["cuts"]):
            wait_for_an_instant(ledger, job["soon"])
            image = f"{job['image']}.{number}"
            begin = time.monotonic()
            disk.copy(job["image"], image)
            cuts.append({"image": image, "begin": begin, "end": time.monotonic()})
        running.over.set()
    ledger.dump(job["ledger"])
    return {"cuts": cuts, "troubles": running.troubles, "given": ledger.given}


def wait_for_an_instant(ledger, soon):
    """Any instant; for the share `soon` of them one shortly after a promise was given, where it is easiest broken."""
    if random.random() < soon:
        ledger.wait_given(2)
        time.sleep(random.choice((0, random.expovariate(1 / 0.003), random.expovariate(1 / 0.03))))
    else:
        time.sleep(random.uniform(0, 0.4))


def verify(place, job):
    """Switch the machine on again with the disk as it was at the cut. The report: a verdict."""
    place.enter("good")
    with open(job["ledger"], encoding="ascii") as f:
        ledger = json.load(f)
    target = disk.Disk(job["cut"]["image"], job["kind"], place.disk)
    target.mount()                  # replays the journals
    target.unmount()
    if said := target.check():
        return {"lost": [f"file system damaged: {said}"]}
    target.mount()
    taken = []
    host = far.FarHost(taken.append)
    if job["all"]:
        place.must("qmailctl", "start")
        manager = place.manager()
    else:
        manager = place.queue_manager().pid
    still = account.over(ledger, job["cut"]), "+" in job["kind"]
    next_alarm = time.monotonic() + ALARM

    def done():
        nonlocal next_alarm
        if time.monotonic() > next_alarm:
            place.wake(manager)
            next_alarm = time.monotonic() + ALARM
        return not account.unfinished(place.home, *still)
    in_time = world.until(done, PATIENCE, 0.05)
    verdict = account.judge(ledger, job["cut"], account.Found(place, taken))
    if not in_time:
        left = account.unfinished(place.home, *still)
        verdict["lost"].append(f"the queue was not finished after {PATIENCE} s; " + "; ".join(
            f"{path}: {states.there(path)!r}" for path in left))
    if job["all"]:
        verdict["lost"] += does_not_serve(place)
    host.shutdown()
    return verdict


def does_not_serve(place):
    """What is wrong with the running system as its clients see it."""
    ledger = Ledger()
    after = load.Load(place, ledger, kinds=["virtual"])
    try:
        for actor in (ways_in.smtp, ways_in.qmtp, ways_in.qmqp, ways_in.program, readers.pop3, administer.accounts):
            actor(after)
    except Exception as why:        # whatever: it goes into the report
        return [f"after the cut: {why!r}"]
    wrong = after.troubles
    for number, entry in ledger.messages.items():
        [[where, *_]] = entry["expected"]
        if not world.until(lambda: number in account.Found(place, ()).copies[where], PATIENCE):
            wrong.append("after the cut: a message does not arrive")
    return wrong


def main(words):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    place, verb, *rest = words
    place = world.World(place)
    if verb == "build":
        build(place, *rest)
        return
    [path] = rest
    with open(path, encoding="ascii") as f:
        job = json.load(f)
    report = {"load": work, "verify": verify}[verb](place, job)
    with open(f"{path}.new", "w", encoding="ascii") as f:
        json.dump(report, f)
    os.rename(f"{path}.new", f"{path}.report")


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)                     # the namespaces end with this process, and what runs in them
