"""results.json: every round of every work as it was measured last, with the machine, the commit and the date.

    {WORK: {"date", "commit", "machine": {…}, "versions": {peer: …}, "rounds": [{peer: {key: figure}}]}}
"""
import json
import os
import platform
import statistics
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = f"{HERE}/results.json"


def read():
    try:
        with open(PATH, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def keep(work, rounds, bench):
    found = read()
    found[work.name] = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": commit(bench.source),
                        "machine": machine(bench.place), "versions": bench.versions(), "rounds": rounded(rounds)}
    with open(f"{PATH}.new", "w", encoding="utf-8") as f:
        json.dump(found, f, indent=None, separators=(",", ":"))
        f.write("\n")
    os.rename(f"{PATH}.new", PATH)


def rounded(figures):
    """Five digits are more than what is measured holds."""
    if isinstance(figures, dict):
        return {key: rounded(figure) for key, figure in figures.items()}
    if isinstance(figures, list):
        return [rounded(figure) for figure in figures]
    return float(f"{figures:.5g}")


def commit(source):
    """Of the checkout; with a + if files of it differ."""
    def git(*words):
        words = ["git", "-c", "safe.directory=*", "-C", source, *words]
        return subprocess.run(words, capture_output=True, text=True).stdout
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "pyqmail", "bin")
    return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")


def machine(place):
    """What it is, in words for the report."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        models = [line.partition(":")[2].strip() for line in f if line.startswith("model name")]
    return {"processor": f"{os.cpu_count()} × {models[0] if models else platform.machine()}",
            "kernel": f"{platform.system()} {platform.release()}", "file system": file_system(place),
            "load": f"{os.getloadavg()[2]:.1f} in the 15 minutes before the end"}


def file_system(place):
    with open("/proc/mounts", encoding="utf-8") as f:
        mounts = [line.split() for line in f]
    above = (mount for mount in mounts if f"{place}/".startswith(mount[1].rstrip("/") + "/"))
    best = max(above, key=lambda mount: len(mount[1]))
    journals = os.listdir("/proc/fs/jbd2") if os.path.isdir("/proc/fs/jbd2") else []
    without = best[2] == "ext4" and not any(name.startswith(os.path.basename(best[0])) for name in journals)
    in_file = best[0].startswith("/dev/loop")
    return best[2] + " in a file" * in_file + " without a journal" * without


def values(kept, peer, key):
    """The figure of each round."""
    return [figures[peer][key] for figures in kept["rounds"] if key in figures.get(peer, {})]


def ratios(kept, part, against):
    return [part.ratio(figures["pyqmail"][part.key], figures[against][part.key]) for figures in kept["rounds"]]


def spread(found):
    """(median, least, most)"""
    return statistics.median(found), min(found), max(found)
