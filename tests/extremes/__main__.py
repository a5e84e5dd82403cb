"""Extremes: the largest message, the longest list, the longest queue, full disks, and clocks that are set.

    python -m tests.extremes [NAME…] [--small] [--size MB] [--recipients N] [--messages N] [--place DIR] [--report FILE]

NAME: large, recipients, backlog, full, clocks; all without one. Runs the whole system in namespaces of its own and
prints a table. --small: as small as it may be and still show something, as the tests do. Exit code: 0 if all is as
promised.

Needs root, loop devices, e2fsprogs, util-linux. What it makes lies below DIR (/var/lib) and is gone afterwards. See
doc/RELIABILITY.md.
"""
import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

from tests.extremes import backlog, clocks, full, large, recipients, site
from tests.extremes.clock import SetClock
from tests.powercut import runs, world

PARTS = {"large": large.large, "recipients": recipients.recipients, "backlog": backlog.backlog, "full": full.full,
         "clocks": clocks.clocks}
USUAL = {"size": 10_000, "recipients": 100_000, "messages": 100_000}
SMALL = {"size": 50, "recipients": 2_000, "messages": 500}


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.extremes", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--small", action="store_true", help="small numbers")
    parser.add_argument("--size", type=int, help="MB of the large message")
    parser.add_argument("--recipients", type=int, help="of one message")
    parser.add_argument("--messages", type=int, help="in the queue")
    parser.add_argument("--place", default="/var/lib", help="where to work")
    parser.add_argument("--report", help="a file for the table")
    parser.add_argument("--within", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.names) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.within is None:
        return in_namespaces(options.place, sys.argv[1:])
    for name, value in (SMALL if options.small else USUAL).items():
        setattr(options, name, getattr(options, name) or value)
    options.size *= 1_000_000
    return run(options)


def in_namespaces(parent, words):
    """Run this again where nobody sees what is mounted, listens or has an account; its status. Whatever happens,
    nobody runs on, and no file is left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        place = tempfile.mkdtemp(prefix="pyqmail-extremes.", dir=parent)
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        stack.callback(runs.detach, place)
        os.chmod(place, 0o755)
        made = world.World(place)
        made.prepare(runs.libraries(place))
        made.add_code("good")
        process = subprocess.Popen([*world.WITHIN, sys.executable, "-m", "tests.extremes", *words, "--within", place],
                                   cwd=world.ROOT, stdin=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process.wait()


def run(options):
    place, table = world.World(options.within), site.Table(options.report)
    clock = SetClock(f"{place.place}/clock")
    place.add_code("clocked", clock.apply)
    place.enter("good")
    place.install()
    running = site.Site(place)
    running.clock = clock
    for name in options.names or PARTS:
        table.at(name)
        running.empty("joe", "sue", "ann", "alias")
        try:
            PARTS[name](running, table, options)
        except Exception as why:            # the others can still be looked at
            traceback.print_exc()
            table.wrong(f"{why!r:.3000}")
            running.end()
    table.say("\n".join(["all is as promised"] if not table.failures else ["NOT as promised:", *table.failures]))
    return 1 if table.failures else 0


if __name__ == "__main__":
    os.umask(0o022)
    status = main()
    sys.stdout.flush()
    if "--within" in sys.argv:
        os._exit(status)            # the namespaces end with this process, and what runs in them
    sys.exit(status)
