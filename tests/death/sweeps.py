"""Many lives: every call of a role in turn, on several installations at a time, and the report about them."""
import collections
import contextlib
import queue
import threading

from pyqmail.base import errors
from tests.death.lives import ROLES, Result

TRIES = 5
HEAD = ("role", "strikes", "acknowl.", "lost", "stuck", "bad state", "other",
        "twice: Maildir", "bounce", "sent", "timer")


def reference(place, role, error=None):
    """(how many calls can be struck, these calls) in an undisturbed life of this role."""
    place.warm_up()
    result = place.trial(role, 0, error, log=True)
    assert not result.problems and all(result.copies[:1]), result
    return result.calls, result.log


def sweep(places, role, points, tell=lambda result: None):
    """The Results of one life for each of `points`, made at all `places` side by side. A point: (which call,
    error or None, pattern of calls that count or None)."""
    work, results = queue.SimpleQueue(), []
    for point in points:
        work.put(point)

    def labour(place):
        while True:
            try:
                at, error, call = work.get_nowait()
            except queue.Empty:
                return
            try:
                for _ in range(TRIES if call else 1):   # another worker, just started and not watched, may do the work
                    result = place.trial(role, at, error, call=call)
                    if result.hit or result.problems:
                        break
            except Exception as why:
                result = Result(role, at, error)
                result.problems.append(f"{type(why).__name__}: {why}{errors.where(why)}")
            results.append(result)
            tell(result)
    threads = [threading.Thread(target=labour, args=(place,)) for place in places]
    with contextlib.ExitStack() as stack:
        for place in places:
            stack.enter_context(place.exchanged(*ROLES[role].cold))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


def row(role, results):
    """The line of the report about one role's results."""
    problems = collections.Counter()
    for result in results:
        for problem in result.problems:
            word = problem.partition(":")[0]
            problems[word if word in ("lost", "stuck", "state", "content", "place", "owner", "inode", "delivered twice")
                     else "other"] += 1
    notes = collections.Counter(note for result in results for note in result.notes)
    bad = sum(problems[word] for word in ("state", "content", "place", "owner", "inode"))
    return (role, sum(result.hit is not None for result in results), sum(result.acknowledged for result in results),
            problems["lost"], problems["stuck"], bad, problems["other"], problems["delivered twice"],
            notes["bounced twice"], notes["sent twice"], notes["waited for a timer"])


def table(rows):
    """The report, as Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
