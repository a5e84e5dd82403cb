"""What results.json holds comes out as a table and plots, and judged rightly."""
import json
import xml.etree.ElementTree

import pytest

from benchmarks import plot, report, results, works
from benchmarks.bench import Part

MACHINE = {"processor": "2 × x", "kernel": "Linux 6", "file system": "ext4 (rw)", "load": "0.1 in the 15 minutes"}


def figures(work, value):
    found = {part.key: value for part in work.parts}
    return {**found, "accepted": value, "cpu": value, "peak": value, "samples": [value, 2 * value],
            "lengths": {"0": {"cpu": 1.0}, "1000": {"cpu": 2.0}}}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Three rounds of every work, in which we are twice as good in messages and half as good in seconds."""
    monkeypatch.setattr(results, "HERE", str(tmp_path))
    monkeypatch.setattr(plot, "HERE", str(tmp_path))
    monkeypatch.setattr(results, "PATH", f"{tmp_path}/results.json")
    found = {name: {"date": "2026-11-22 18:00 UTC", "commit": "abc1234", "machine": MACHINE,
                    "versions": {"postfix": "3.7.11"}, "rounds": [
                        {"pyqmail": figures(work, 2.0 * n), work.against or "other": figures(work, 1.0 * n)}
                        for n in (1, 2, 4)]} for name, work in works.ALL.items()}
    (tmp_path / "results.json").write_text(json.dumps(found))
    return tmp_path


def test_table(kept):
    report.write()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (kept / "RESULTS.md").read_text().splitlines()
            if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    first = next(row for row in rows if row[0] == "1")
    assert first[2:] == ["4 messages/s", "2", "**2.00** [2.00 – 2.00]", "1.0", "1.5", "hope"]
    latency = next(row for row in rows if row[0] == "9")
    assert latency[4:] == ["**0.50** [0.50 – 0.50]", "1.0", "1.5", "no"]


def test_plots_are_svg(kept):
    report.write()
    for path in kept.glob("*.svg"):
        assert xml.etree.ElementTree.parse(path).getroot().tag.endswith("svg")
    assert {path.name for path in kept.glob("*.svg")} == {"throughput.svg", "latency.svg", "queue.svg"}


@pytest.mark.parametrize("part, values, expected", [
    (Part("x", "", "", 1.0, 1.5), [0.9, 1.0, 1.2], "yes"),
    (Part("x", "", "", 1.0, 1.5), [0.9, 1.6, 1.7], "hope"),
    (Part("x", "", "", 1.0), [0.99, 0.99], "no"),
    (Part("x", "", "", 1.0), [1.0], "yes"),
    (Part("x", "", "MB", 100, 60, less=True, absolute=True), [61], "yes"),
    (Part("x", "", "MB", 100, 60, less=True, absolute=True), [60], "hope"),
    (Part("x", "", "%", 80, absolute=True), [79], "no"),
    (Part("x", "", ""), [1], ""),
])
def test_met(part, values, expected):
    assert report.met(part, values) == expected
