"""Programs whose exit code decides what becomes of a message: a Python that cannot start must not bounce it."""
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize("program", ["qmail-local", "qmail-remote"])
@pytest.mark.parametrize("status, seen", [
    (0, 0), (99, 99), (100, 100), (111, 111), (113, 113), (1, 111), (2, 111), (126, 111), (127, 111), (139, 111),
    ("$$", 111)])
def test_statuses(tmp_path, program, status, seen):
    python, launcher = tmp_path / "python", tmp_path / program
    python.write_text(f"#!/bin/sh\nkill -SEGV {status}\n" if status == "$$" else f"#!/bin/sh\nexit {status}\n")
    with open(f"{ROOT}/bin/{program}", encoding="utf-8") as f:
        launcher.write_text(f.read().replace("/usr/bin/python3", str(python)))
    for path in (python, launcher):
        path.chmod(0o755)
    assert subprocess.run([launcher], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == seen


@pytest.mark.parametrize("program", ["qmail-local", "qmail-remote"])
def test_no_python(tmp_path, program):
    launcher = tmp_path / program
    with open(f"{ROOT}/bin/{program}", encoding="utf-8") as f:
        launcher.write_text(f.read().replace("/usr/bin/python3", str(tmp_path / "missing")))
    launcher.chmod(0o755)
    assert subprocess.run([launcher], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 111
