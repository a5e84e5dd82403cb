"""The processes that fuzz: one for each target, because libFuzzer ends its process."""
import os
import re
import subprocess
import sys
from collections import namedtuple

PATIENCE = 20                       # s for one input: nothing takes as long as that
MEMORY = 1024                       # MB
MOST = 25                           # inputs that one distillation adds
WITHIN = "--within"                 # the first word of the command line of the process that fuzzes


class Result(namedtuple("Result", "name executions features edges broken")):
    """broken: the last lines of a run that ended early, else None."""

    def line(self):
        found = f"{self.name:16}{self.executions:>12} executions {self.features:>6} features {self.edges:>6} edges"
        return found if self.broken is None else f"{found}\n{self.broken}"


def fuzz(name, place, *arguments):
    """The life of such a process, which libFuzzer ends. place: a directory that is removed after that. arguments:
    libFuzzer's."""
    import atheris
    with atheris.instrument_imports(include=["pyqmail"]):
        from tests.fuzz import targets
    run = targets.TARGETS[name].run
    with targets.world(place):
        atheris.Setup([sys.argv[0], *arguments], run)
        atheris.Fuzz()


def start(name, place, arguments):
    command = ["nice", "-n", "10", sys.executable, "-m", "tests.fuzz", WITHIN, name, place, *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def run(name, place, kept, corpus, seconds):
    """Fuzz one target; new inputs go to `kept`."""
    where = [kept] + [corpus] * os.path.isdir(corpus)
    artifact = os.path.join(os.getcwd(), f"fuzz-{name}-")
    done = start(name, place, [f"-max_total_time={seconds}", "-print_final_stats=1", "-max_len=4096",
                               f"-timeout={PATIENCE}", f"-rss_limit_mb={MEMORY}", f"-artifact_prefix={artifact}",
                               *where])
    text = done.stderr + done.stdout
    executions = re.findall(r"number_of_executed_units:\s*(\d+)", text) or re.findall(r"#(\d+)", text) or ["0"]
    features, edges = re.findall(r"\bft: (\d+)", text) or ["0"], re.findall(r"\bcov: (\d+)", text) or ["0"]
    broken = None if done.returncode == 0 else "\n".join(text.splitlines()[-40:])
    return Result(name, int(executions[-1]), int(features[-1]), int(edges[-1]), broken)



def arcs(run, data):
    """{(file, line, next line)} of pyqmail that an input goes through."""
    found, last = set(), {}

    def trace(frame, event, _):
        name = frame.f_code.co_filename
        if "/pyqmail/" not in name:
            return None
        found.add((name, last.get(name), frame.f_lineno))
        last[name] = frame.f_lineno
        return trace
    sys.settrace(trace)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return found


def distilled(run, corpus, candidates):
    """Those of the candidates, smaller ones first, that go where the corpus and the others do not."""
    known, chosen = set().union(*(arcs(run, data) for data in corpus)), []
    for data in sorted(candidates, key=lambda data: (len(data), data)):
        new = arcs(run, data) - known
        if new and len(chosen) < MOST:
            known |= new
            chosen.append(data)
    return chosen
