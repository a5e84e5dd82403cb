"""Death at every step: every process dies at each of its system calls, or the call fails; nothing may be lost.

    python -m tests.death [ROLE…] [--errors kill,ENOSPC,… | all] [--places N] [--text N] [--step N] [--report FILE]
                          [--finish PROGRAM]

ROLE: one of --list, or the beginning of several (all). --errors: what happens at the call (all: kill, ENOSPC, EDQUOT,
EIO, EMFILE, ENOMEM, EAGAIN). --text: of the failures while an interpreter reads its own program, every so
many-th is tried; --step: of everything. --finish: what deaths leave in the queue is finished by this qmail-send, made
for /var/qmail, which must be there. Prints a table for doc/RELIABILITY.md; FILE gets a JSON line for each life. Exit
code: 0 if nothing was lost, stuck, or left as it must not be.

Needs root and the system tests' libraries. Each place has namespaces of its own; nothing of it is seen outside, nothing
is left. See doc/RELIABILITY.md.
"""
import argparse
import contextlib
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from tests.death import sweeps
from tests.death.lives import Result
from tests.death.roles import ROLES
from tests.death.tracer import FAILING

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLACES, TEXT = 6, 10
PATIENCE = 300                      # s for one life
START = 600                         # s for a place to be made
WITHIN = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
# Accounts, homes and installations of its own; a network.
ENTER = """
mount --bind "$0/etc" /etc && mount --bind "$0/home" /home && mount --bind "$0/lib" /var/lib &&
ip link set lo up && exec "$@"
"""


class Labourer:
    """A place, made when it is first needed and again when it has broken down."""

    def __init__(self, work, number):
        self.work, self.process, self.ended = f"{work}/{number}", None, False

    def start(self):
        if self.ended:
            raise RuntimeError("the sweep was ended")
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        subprocess.run(["cp", "-a", "/etc", self.work], stderr=subprocess.DEVNULL)      # what goes meanwhile is no loss
        for name in ("home", "lib"):
            os.mkdir(f"{self.work}/{name}")
        orders, self.orders = os.pipe()
        self.reports, reports = os.pipe()
        self.rest = b""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", f"{self.work}/tmp",
                   f"{ROOT}/tests/death/labour.py"]
        with open(f"{self.work}/log", "wb") as log:
            environ = {**os.environ, "DEATH_ORDERS": str(orders), "DEATH_REPORTS": str(reports)}
            self.process = subprocess.Popen([*WITHIN, "sh", "-c", ENTER, self.work, *command], cwd=ROOT, env=environ,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=(orders, reports))
        os.close(orders)
        os.close(reports)
        if not self.hear(START).get("ready"):
            self.stop()
            with open(f"{self.work}/log", encoding="utf-8", errors="replace") as log:
                raise RuntimeError(f"a place could not be made:\n{log.read()[-5000:]}")

    def hear(self, seconds):
        """The next report; {"failed": why} if there is none."""
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            if not select.select([self.reports], [], [], max(0, end - time.monotonic()))[0]:
                return {"failed": f"no answer within {seconds} s"}
            data = os.read(self.reports, 1 << 20)
            if not data:
                return {"failed": "the place has broken down"}
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def trial(self, role, at, error, log=False):
        """A Result; after a failure the place is made anew."""
        if self.process is None:
            self.start()
        with contextlib.suppress(BrokenPipeError):
            os.write(self.orders, json.dumps([role, at, error, log]).encode() + b"\n")
        report, result = self.hear(PATIENCE), Result(role, at, error)
        if "failed" in report:
            result.problems.append(f"failed: {report['failed']}")
            self.stop()
        else:
            vars(result).update(report)
        if any(problem.startswith("stuck") for problem in result.problems):
            self.stop()             # it may be so for good
        return result

    def stop(self):
        """Whoever runs there ends with it, and what it made lies below `work`."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            os.close(self.orders)
            os.close(self.reports)
            self.process = None

    def end(self):
        self.ended = True
        self.stop()


class Sweep:
    def __init__(self, places, text, step, report):
        self.labourers, self.text, self.step, self.report, self.problems = places, text, step, report, []

    def reference(self, role, error):
        """(calls, which of them are as the one before) of a life in which nothing happens to this role."""
        for _ in range(sweeps.TRIES):       # the first one may still make what the others find
            result = self.labourers[0].trial(role, 0, error, log=True)
            if not result.problems:
                return result.log, result.same
        self.tell(result)
        return [], []

    def lives(self, role, error, points, results):
        """One life for each point; all places work side by side. Adds to results."""
        work, lock = queue.SimpleQueue(), threading.Lock()
        for at in points:
            work.put(at)

        def labour(labourer):
            while True:
                try:
                    at = work.get_nowait()
                except queue.Empty:
                    return
                try:
                    result = labourer.trial(role, at, error)
                except Exception as why:        # a place that cannot be made must not pass for lives without problems
                    result = Result(role, at, error)
                    result.problems.append(f"failed: {why!r}")
                with lock:
                    results.append(result)
                    self.tell(result)
        threads = [threading.Thread(target=labour, args=(labourer,), daemon=True) for labourer in self.labourers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def tell(self, result):
        if self.report:
            print(json.dumps({**vars(result), "log": len(result.log), "same": None}), file=self.report, flush=True)
        if result.problems:
            self.problems.append(result)
            print(result, flush=True)

    def role(self, role, error):
        """All lives of a role with an error, or with deaths; the results."""
        start, results = time.monotonic(), []
        log, same = self.reference(role, error)
        struck = sweeps.points(log, same, error, self.text)[::self.step]
        self.lives(role, error, struck, results)
        for points in sweeps.again(log, struck, results) if self.step == 1 else ():
            self.lives(role, error, points, results)
        kinds = sweeps.missed(log, struck)
        left = kinds - {result.hit for result in results}
        print(f"{role}, {error or 'kill'}: {len(results)} lives for {len(log)} calls in "
              f"{time.monotonic() - start:.0f} s; {len(kinds)} kinds of calls, not struck: "
              f"{', '.join(sorted(left)) or 'none'}", flush=True)
        return results


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.death", description=__doc__.partition("\n")[0])
    parser.add_argument("roles", nargs="*", metavar="ROLE")
    parser.add_argument("--errors", default="kill", help="separated by commas, or all")
    parser.add_argument("--places", type=int, default=PLACES, help="installations side by side")
    parser.add_argument("--text", type=int, default=TEXT, help="every so many-th failure of reading program text")
    parser.add_argument("--step", type=int, default=1, help="every so many-th of all calls")
    parser.add_argument("--finish", metavar="PROGRAM", help="a qmail-send that goes on after a death")
    parser.add_argument("--report", help="a file for all results")
    parser.add_argument("--list", action="store_true", help="the names of roles")
    options = parser.parse_args()
    if options.list:
        print("\n".join(ROLES))
        return 0
    everything = ["kill", *FAILING]
    wanted = everything if options.errors == "all" else options.errors.split(",")
    if set(wanted) - set(everything):
        parser.error(f"errors are {', '.join(everything)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    names, start = sweeps.roles(options.roles), time.monotonic()
    with contextlib.ExitStack() as stack:
        work = tempfile.mkdtemp(prefix="pyqmail-death.", dir="/var/lib")
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        os.chmod(work, 0o755)
        report = stack.enter_context(open(options.report, "w", encoding="utf-8")) if options.report else None
        places = [Labourer(work, number) for number in range(options.places)]
        for place in places:
            stack.callback(place.end)
        if options.finish:
            os.environ["DEATH_FINISH"] = os.path.abspath(options.finish)
        sweep = Sweep(places, options.text, options.step, report)
        deaths, errors = [], {name: {} for name in names}
        for error in wanted:
            for name in names:
                if error != "kill" and ROLES[name].together:
                    continue            # one process at a time calls
                results = sweep.role(name, None if error == "kill" else error)
                if error == "kill":
                    deaths.append(sweeps.row(name, results))
                else:
                    errors[name][error] = results
    summary = [sweeps.deaths_table(deaths)] if deaths else []
    if set(wanted) - {"kill"}:
        summary.append(sweeps.errors_table([error for error in wanted if error != "kill"], errors))
    print("\n\n".join(summary))
    print(f"{time.monotonic() - start:.0f} s, {len(sweep.problems)} lives with problems")
    for result in sweep.problems:
        print(result)
    return 1 if sweep.problems else 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
