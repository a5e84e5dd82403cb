"""The system under load: hostile connections beside ordinary mail, many POP3 sessions, deliveries beside a flood.

    python -m tests.load [--small] [--report FILE] [--place DIR] [--own-disk] [NAME…]

Runs the whole system with users of its own, in namespaces. For each scenario (NAME: SCENARIOS in scenarios.py) one
line: messages delivered a second alone and under load (rounds of the two alternate; medians), their ratio, processor
time of a message, what else was seen. Exit code: 1 if something was wrong that does not depend on the machine's speed.
About five minutes; needs root, Postfix's smtp-source and iproute2. What it makes lies below DIR (/var/lib), on the file
system there or (--own-disk) on an ext4 with a journal in a file there, and is gone afterwards. See doc/RELIABILITY.md.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from tests.load import scenarios
from tests.load.place import Place
from tests.powercut import disk, runs, world

DISK = 8 << 30                      # bytes, most of which are never written


def main():
    options = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__.partition("\n")[0])
    options.add_argument("names", nargs="*", metavar="NAME", help=" ".join(scenarios.SCENARIOS))
    options.add_argument("--small", action="store_true", help="smaller numbers, as tests/run has them")
    options.add_argument("--report", help="a file for the results, as JSON")
    options.add_argument("--place", default="/var/lib", help="where to work")
    options.add_argument("--own-disk", action="store_true", help="on an ext4 with a journal, in a file there")
    options.add_argument("--within", help=argparse.SUPPRESS)       # we are in the namespaces already
    chosen = options.parse_args()
    if unknown := set(chosen.names) - set(scenarios.SCENARIOS):
        options.error(f"no such scenario: {' '.join(unknown)}")
    if chosen.within:
        return inside(chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    place = tempfile.mkdtemp(prefix="pyqmail-load.", dir=chosen.place)
    try:
        os.chmod(place, 0o755)
        here = world.World(place)
        here.prepare(runs.libraries(place))
        here.add_code("good")
        command = [*world.WITHIN, sys.executable, "-m", "tests.load", *sys.argv[1:], "--within", place]
        process = subprocess.Popen(command, cwd=world.ROOT)
        try:
            return process.wait()
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def inside(chosen):
    here = world.World(chosen.within)
    here.enter("good")
    if chosen.own_disk:
        lay_disk(here)
    here.install()
    place, rows, began = Place(here), [], time.monotonic()
    print(scenarios.HEADING, flush=True)
    for name in chosen.names or scenarios.SCENARIOS:
        row = scenarios.SCENARIOS[name](place, scenarios.SMALL if chosen.small else scenarios.FULL)
        print(row.text(), flush=True)
        rows.append(row)
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    if chosen.report:
        with open(chosen.report, "w", encoding="ascii") as f:
            json.dump([vars(row) for row in rows], f)
    return 1 if any(row.wrong for row in rows) else 0


def lay_disk(here):
    image = f"{here.place}/image"
    with open(image, "wb") as f:
        f.truncate(DISK)
    disk.run("mkfs.ext4", "-q", "-F", image)
    disk.run("mount", "-o", "loop", image, here.disk)
    for name in ("var", "home"):
        os.mkdir(f"{here.disk}/{name}")


if __name__ == "__main__":
    os.umask(0o022)
    status = main()
    sys.stdout.flush()
    os._exit(status)                # in the namespaces everything ends with this process
