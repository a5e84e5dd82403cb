"""Death at every step, complete: started by tests/death/sweep, not part of the ordinary tests.

DEATH_ROLES: the roles, separated by commas (all). DEATH_ERRORS: "kill" and names of errors, separated by
commas (kill). DEATH_PLACES: installations side by side (4). DEATH_STEP: only every so many-th call (1).
"""
import os
import time

import pytest

from tests.death import sweeps
from tests.death.lives import ROLES, Place
from tests.death.tracer import FAILING
from tests.system.conftest import make_system, people     # noqa: F401

AGAIN = (0, -1, 1, -2, 2, 4)

pytestmark = [pytest.mark.root, pytest.mark.system]


def chosen(variable, everything, default):
    words = os.environ.get(variable) or default
    return list(everything) if words == "all" else words.split(",")


def test_every_step(make_system, people):       # noqa: F811
    places = [Place(make_system(), people) for _ in range(int(os.environ.get("DEATH_PLACES") or 4))]
    rows, problems, step = [], [], int(os.environ.get("DEATH_STEP") or 1)
    for error in chosen("DEATH_ERRORS", ("kill", *FAILING), "kill"):
        for role in chosen("DEATH_ROLES", ROLES, "all"):
            results = one(places, role, None if error == "kill" else error, step)
            rows.append(sweeps.row(f"{role}, {error}", results))
            problems += [result for result in results if result.problems]
    for place in places:
        place.close()
    print("\n".join(map(str, problems)))
    print(sweeps.table(rows))
    assert not problems


def show(result):
    if result.problems:
        print(result, flush=True)


def one(places, role, error, step):
    start = time.monotonic()
    with places[0].exchanged(*ROLES[role].cold):
        calls, log = sweeps.reference(places[0], role, error)
    results = sweeps.sweep(places, role, [(at, error, None) for at in range(1, calls + 1, step)], show)
    kinds = set(log)
    for shift in AGAIN if step == 1 else ():        # threads take turns differently each time: what was missed, again
        missed = [log.index(kind) for kind in kinds - {result.hit for result in results}]
        results += sweeps.sweep(places, role, [(max(1, at + 1 + shift), error, None) for at in missed], show)
    missed = kinds - {result.hit for result in results}
    print(f"{role} {error or 'kill'}: {len(results)} of {calls} calls in {time.monotonic() - start:.0f} s; "
          f"kinds of calls {len(kinds)}, not struck: {', '.join(sorted(missed)) or 'none'}", flush=True)
    return results
