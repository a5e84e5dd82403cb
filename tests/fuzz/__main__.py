"""Coverage-guided fuzzing of every parser that reads strangers' bytes.

    python -m tests.fuzz [TARGET …] [--seconds N]

Runs each target (all without a name) for N seconds (60), one after the other, from the inputs in tests/fuzz/corpus,
and prints a line for each: executions, features (edges of the code of pyqmail that were reached, by how often), and
what broke a promise. Such an input is kept in the working directory and named. Exit code: 0 if nothing was found,
1 if something was, 100 for wrong usage.

    --list                  the targets and what each promises
    --replay TARGET FILE    one input, with the traceback
    --keep DIRECTORY        put what was found on the way there: more inputs, new for this run
    --distil TARGET         put those of its inputs in --keep that reach something new into the corpus

Needs atheris: pip install atheris (it comes with the tests' libraries where there is a build of it).
"""
import argparse
import hashlib
import os
import sys
import tempfile
import time

from tests.fuzz import runs

USAGE = 100
SMALL = 1500                        # bytes of an input that goes into the repository


def main():
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    options.add_argument("targets", nargs="*", metavar="TARGET")
    options.add_argument("--seconds", type=int, default=60, help="for each target")
    options.add_argument("--list", action="store_true", help="the targets")
    options.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"), help="one input")
    options.add_argument("--keep", metavar="DIRECTORY", help="where found inputs stay")
    options.add_argument("--distil", metavar="TARGET", help="choose from kept inputs")
    if sys.argv[1:2] == [runs.WITHIN]:
        return runs.fuzz(*sys.argv[2:])
    chosen = options.parse_args()
    from tests.fuzz import targets
    unknown = [name for name in chosen.targets if name not in targets.TARGETS]
    if unknown:
        options.error(f"no such target: {' '.join(unknown)}")
    if chosen.list:
        for target in targets.TARGETS.values():
            print(f"{target.name:16}{target.promise}")
        return 0
    if chosen.replay:
        return replay(targets, *chosen.replay)
    try:
        import atheris              # noqa: F401  used by the processes that are started
    except ImportError:
        print("atheris is missing: pip install atheris", file=sys.stderr)
        return USAGE
    if chosen.distil:
        return distil(targets, chosen.distil, chosen.keep)
    return campaign(targets, chosen)


def replay(targets, name, path):
    with open(path, "rb") as f:
        data = f.read()
    with targets.world():
        targets.TARGETS[name].run(data)
    print("fine")
    return 0


def campaign(targets, chosen):
    fine, executions, started = True, 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pyqmail-fuzz.", dir=targets.memory()) as temporary:
        for name in chosen.targets or targets.TARGETS:
            kept = os.path.join(os.path.abspath(chosen.keep or temporary), name)
            os.makedirs(kept, exist_ok=True)
            result = runs.run(name, temporary, kept, os.path.join(targets.CORPUS, name), chosen.seconds)
            executions += result.executions
            fine = fine and not result.broken
            print(result.line(), flush=True)
    print(f"{executions} executions in {time.monotonic() - started:.0f} s")
    return 0 if fine else 1


def distil(targets, name, kept):
    """Put into the corpus what goes where nothing there goes."""
    if not kept:
        print("--distil needs --keep", file=sys.stderr)
        return USAGE
    candidates = []
    for each in os.scandir(os.path.join(kept, name)):
        if each.stat().st_size <= SMALL:
            with open(each.path, "rb") as f:
                candidates.append(f.read())
    with targets.world():
        chosen = runs.distilled(targets.TARGETS[name].run, [data for _, data in targets.corpus(name)], candidates)
    for data in chosen:
        with open(os.path.join(targets.CORPUS, name, hashlib.sha256(data).hexdigest()[:12]), "wb") as f:
            f.write(data)
    print(f"{name}: {len(chosen)} more inputs")
    return 0


sys.exit(main())
