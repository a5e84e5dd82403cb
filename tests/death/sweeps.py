"""Many lives: which calls of a role are struck, and the report about them."""
import collections
import re

from tests.death.roles import ROLES

TRIES = 5
AGAIN = (0, -1, 1, -2, 2, 4)
TEXT = r"/lib/python3|HOME/pyqmail|HOME/venv|site-packages"
HEAD = ("role", "strikes", "acknowl.", "lost", "stuck", "bad state", "other",
        "twice: Maildir", "bounce", "sent", "timer")


def points(log, same, error, text=1):
    """The calls, from 1, that are struck of those in `log`, one after the other. Of deaths that are the same (see
    tracer.Looks) one is died. text: of failures while the program's own text is read, every so many-th."""
    if not error:
        return [at for at, one in enumerate(same, 1) if not one]
    reading = 0
    found = []
    for at, call in enumerate(log, 1):
        if re.search(TEXT, call):
            reading += 1
            if reading % text:
                continue
        found.append(at)
    return found


def again(log, struck, results):
    """Rounds of further calls: threads take turns differently each time, so that kinds of calls were missed.
    results: a list that grows meanwhile."""
    for shift in AGAIN:
        hit = {result.hit for result in results}
        yield [max(1, log.index(kind) + 1 + shift) for kind in missed(log, struck) - hit]


def missed(log, struck):
    """The kinds of calls at these points."""
    return {log[at - 1] for at in struck}


def attempt(place, role, at, error, call=None):
    """The Result of one life. call: see Place.trial; then another worker, just started and not watched, may do the
    work, and it is tried again."""
    for _ in range(TRIES if call else 1):
        result = place.trial(role, at, error, call=call)
        if result.hit or result.problems:
            break
    return result


def row(name, results):
    """The line of the report about one role's results."""
    problems = collections.Counter(problem.partition(":")[0] for result in results for problem in result.problems)
    notes = collections.Counter(note for result in results for note in result.notes)
    bad = sum(problems.pop(word, 0) for word in ("state", "content", "place", "owner", "inode"))
    twice = sum(problems.pop(word, 0) for word in ("Maildir twice", "virtual twice"))
    lost, stuck = problems.pop("lost", 0), problems.pop("stuck", 0)
    return (name, sum(result.hit is not None for result in results), sum(result.acknowledged for result in results),
            lost, stuck, bad, problems.total(), twice, notes["bounce twice"], notes["host twice"],
            notes["waited for a timer"])


def errors_table(errors, found):
    """The report about calls that fail: found: {role: {error: results}}."""
    rows = []
    for name, by_error in found.items():
        struck = [sum(result.hit is not None for result in by_error.get(error, ())) for error in errors]
        wrong = sum(bool(result.problems) for results in by_error.values() for result in results)
        if any(struck) or wrong:
            rows.append((name, *(count or "–" for count in struck), wrong))
    counts = [[count for count in column if count != "–"] for column in list(zip(*rows))[1:]]
    rows.append(("**all**", *map(sum, counts)))
    return table(rows, ("role", *errors, "lost, stuck, illegal, twice, refused for good"))


def deaths_table(rows):
    return table([*rows, ("**all**", *(sum(column) for column in list(zip(*rows))[1:]))])


def table(rows, head=HEAD):
    """The report, as Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def roles(words):
    """Names of roles: all, or those that are or begin with one of `words`."""
    if not words:
        return list(ROLES)
    found = [name for name in ROLES if any(name == word or name.startswith(word) for word in words)]
    assert found, f"no such role; there are: {', '.join(ROLES)}"
    return found
