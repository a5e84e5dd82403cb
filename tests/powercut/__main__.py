"""Power cuts: the long form of the proof that nothing that was promised is lost.

    python -m tests.powercut [--ext4 N] [--xfs N] [--apart N] [--seeded all|NAME…] [--report FILE] [--place DIR]

Runs the whole system under load on an ext4 (XFS) disk, cuts the power N times, and accounts after each cut for every
promise; --apart: with a queue on two file systems. --seeded: as well with each step of the programs that is there for
the disk's sake removed in turn, until the loss is found. The report goes to FILE as well, and ends in the tables of
doc/RELIABILITY.md. Exit code: 0 if nothing was lost and the seeded bugs were found as the table says.

Needs root, loop devices, xfsprogs, e2fsprogs, util-linux. What it makes lies below DIR (/var/lib) and is gone
afterwards. See doc/RELIABILITY.md.
"""
import argparse
import os
import sys

from tests.powercut import runs, seeded


def main():
    options = argparse.ArgumentParser(prog="python -m tests.powercut", description=__doc__.partition("\n")[0])
    options.add_argument("--ext4", type=int, default=1000, help="cuts on ext4")
    options.add_argument("--xfs", type=int, default=200, help="cuts on XFS")
    options.add_argument("--apart", type=int, default=0, help="cuts on ext4 with a queue on two file systems")
    options.add_argument("--seeded", nargs="*", default=[], metavar="NAME", help='seeded bugs to find; "all"')
    options.add_argument("--parallel", type=int, default=2, help="verifications at once")
    options.add_argument("--place", default="/var/lib", help="where to work")
    options.add_argument("--report", help="a file for the report")
    options.add_argument("--full", type=int, default=25, help="after every which cut to start and try all services")
    options.add_argument("--within", nargs=2, help=argparse.SUPPRESS)      # we are in the namespaces already
    chosen = options.parse_args()
    bugs = seeded.chosen(chosen.seeded)
    if chosen.within is None:
        return runs.in_namespaces(chosen.place, sys.argv[1:])
    report, harness, fine = runs.Report(chosen.report), runs.Harness(*chosen.within, chosen.parallel, chosen.full), True
    totals, found = {}, []
    for kind, cuts in (("ext4", chosen.ext4), ("xfs", chosen.xfs), ("ext4+queue", chosen.apart)):
        if cuts:
            totals[kind] = harness.cut(kind, cuts, report.say)
            report.say(totals[kind].text(f"{kind}: nothing changed"))
            fine = fine and not totals[kind].wrong
    for bug in bugs:
        total = harness.seed(bug, report.say)
        found.append((bug, total))
        report.say(f"seeded {bug.name}: {'found' if total.wrong else 'not found'}, "
                   f"{'as the table says' if bool(total.wrong) == bug.matters else 'BUT NOT AS THE TABLE SAYS'}")
        fine = fine and bool(total.wrong) == bug.matters
    if totals:
        report.say("the table:\n" + runs.summary(totals))
    if found:
        report.say("the seeded bugs:\n" + seeded.summary(found))
    report.say("all is as promised" if fine else "NOT as promised")
    return 0 if fine else 1


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
