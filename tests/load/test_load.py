"""The short form of the load; the long one is `python -m tests.load`, see doc/RELIABILITY.md."""
import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.root, pytest.mark.system]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCENARIOS = ["both", "connector", "deaf", "limits", "pop3"]


def test_nobody_suffers_from_a_crowd(tmp_path):
    """Ordinary mail beside hundreds of idle and slow connections, one who only connects, some who never read; 40 POP3
    sessions: everything is taken and delivered, who is slow included, every limit has its answer, and afterwards no
    descriptor is missing. Nothing that is timed is judged."""
    report = tmp_path / "report"
    words = ["--small", "--report", str(report), *SCENARIOS]
    done = subprocess.run([sys.executable, "-m", "tests.load", *words], cwd=ROOT, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(report.read_text())
    assert len(rows) == len(SCENARIOS) and not any(row["wrong"] for row in rows), done.stdout
