"""RESULTS.md and the plots, from results.json."""
import collections
import contextlib

from . import peers, plot, results, works
from .bench import OURS
from .works import concurrency

HEAD = """\
# What was measured

Made by `benchmarks/run --write`; not written by hand. Each figure is the median of its rounds; peers take turns within
a round, and the ratio (above 1: pyqmail is better) is that of each round: median [least – most]. The load is
smtp-source, the other host smtp-sink, both of Postfix's; Postfix and Dovecot are Debian's, private to the run, with
default settings but for the same limits: {local} local deliveries, {remote} sessions to another host, {incoming}
incoming ones at once. `benchmarks/works/` says exactly what is done, `benchmarks/profile` where the time goes.

"""
REMARKS = "remarks.md"                  # written by hand: why a bar is not met, and what would be needed


def write():
    kept = results.read()
    with open(f"{results.HERE}/RESULTS.md", "w", encoding="utf-8") as f:
        f.write(HEAD.format(local=peers.LOCAL, remote=peers.REMOTE, incoming=peers.INCOMING))
        f.write("\n".join([*table(kept), "", *footnotes(kept), *remarks(), *plots(kept), *about(kept), ""]))


def table(kept):
    c_qmail = any("c-qmail" in figures for work in kept.values() for figures in work["rounds"])
    yield f"| # | work | pyqmail | Postfix |{' C qmail |' if c_qmail else ''} ratio | bar | hope | met |"
    yield "|---|---|---|---|" + ("---|" if c_qmail else "") + "---|---|---|---|"
    for name, work in works.ALL.items():
        if name not in kept or name == "concurrency":
            continue
        for number, part in enumerate(work.parts):
            yield row(name if number == 0 else "", work, part, kept[name], c_qmail)


def row(name, work, part, kept, c_qmail):
    ours = results.values(kept, OURS, part.key)
    theirs = results.values(kept, work.against, part.key) if work.against else []
    ratios = results.ratios(kept, part, work.against) if work.against else []
    judged = ours if part.absolute else ratios
    cells = [name, f"{work.title}: {part.title}" if len(work.parts) > 1 else f"{work.title}",
             f"{figure(ours)} {part.unit}", figure(theirs)]
    if c_qmail:
        cells.append(figure(results.values(kept, "c-qmail", part.key)))
    cells += ["**%.2f** [%.2f – %.2f]" % results.spread(ratios) if ratios else "", goal(part, part.bar),
              goal(part, part.hope), met(part, judged)]
    return f"| {' | '.join(cells)} |"


def figure(values):
    return f"{results.spread(values)[0]:,.4g}" if values else ""


def goal(part, value):
    if value is None:
        return ""
    if isinstance(value, str) or not part.absolute:
        return str(value)
    return f"{'≤' if part.less else '≥'} {value} {part.unit}"


def met(part, judged):
    if part.bar is None:
        return ""
    middle = results.spread(judged)[0]
    reached = [middle <= value if part.absolute and part.less else middle >= value
               for value in (part.bar, part.hope) if isinstance(value, (int, float))]
    return "no" if not reached[0] else "hope" if reached[1:] == [True] else "yes"


def footnotes(kept):
    if "1" in kept:
        yield ("Work 1: " + "; ".join(
            f"{peer} accepts {figure(results.values(kept['1'], peer, 'accepted'))}/s, and takes "
            f"{figure(results.values(kept['1'], peer, 'cpu'))} ms of processor time a message end to end"
            for peer in kept["1"]["rounds"][0]) + ".")
        yield ""
    if "4" in kept:
        peaks = (f"{figure(results.values(kept['4'], peer, 'peak'))} MB ({peer})" for peer in kept["4"]["rounds"][0])
        yield ("Work 4: each with the sessions that it can have: pyqmail 1,000 in one process, Postfix 100, the limit "
               f"of processes it comes with. The largest process had {', '.join(peaks)}.")
        yield ""


def remarks():
    with contextlib.suppress(FileNotFoundError), open(f"{results.HERE}/{REMARKS}", encoding="utf-8") as f:
        yield f.read()


def plots(kept):
    if "concurrency" in kept:
        plot.lines("throughput.svg", "SMTP → Maildir", "sessions at once", "messages/s", {
            peer: [(sessions, results.spread(results.values(kept["concurrency"], peer, str(sessions)))[0])
                   for sessions in concurrency.SESSIONS]
            for peer in kept["concurrency"]["rounds"][0]}, logarithmic=True)
        yield "![Throughput over the number of sessions](throughput.svg)\n"
    if "9" in kept:
        plot.lines("latency.svg", "SMTP 250 → file in new/", "ms", "% of the messages", {
            peer: distribution([sample for figures in kept["9"]["rounds"] for sample in figures[peer]["samples"]])
            for peer in kept["9"]["rounds"][0]}, logarithmic=True, points=False)
        yield "![Distribution of the latency](latency.svg)\n"
    if "10" in kept:
        lengths = collections.ChainMap(*(figures[OURS]["lengths"] for figures in kept["10"]["rounds"]))
        plot.lines("queue.svg", "A message's processor time beside a long queue", "messages in the queue", "ms", {
            OURS: sorted((max(1, int(length)), point["cpu"]) for length, point in lengths.items())}, logarithmic=True)
        yield "![Cost against the length of the queue](queue.svg)\n"


def distribution(samples):
    """[(ms, % of the messages that took no longer)], not more than a hundred points."""
    found = sorted(max(sample, 0.1) for sample in samples)
    return [(found[round(part / 100 * (len(found) - 1))], part) for part in range(101)]


def about(kept):
    yield "## Where and when\n"
    groups = collections.defaultdict(list)
    for name in works.ALL:
        if name in kept:
            entry = kept[name]
            machine = "; ".join(f"{what}: {value}" for what, value in entry["machine"].items() if what != "load")
            groups[entry["commit"], entry["date"].split()[0], machine].append(name)
    for (commit, date, machine), names in groups.items():
        yield f"- {', '.join(names)}: commit {commit}, {date}. {machine}."
    versions = {peer: version for entry in kept.values() for peer, version in entry["versions"].items()}
    yield f"- {', '.join(f'{peer}: {version}' for peer, version in sorted(versions.items()))}."
    loads = ", ".join(f"{name}: {kept[name]['machine']['load'].split()[0]}" for name in works.ALL if name in kept)
    yield f"- The machine's load in the 15 minutes before the end of each work: {loads}."
