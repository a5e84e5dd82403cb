"""The benchmarks work: every work in its smallest form, with every peer. No figure is judged."""
import os
import shutil
import subprocess
import sys

import pytest

from benchmarks import works

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = [pytest.mark.system, pytest.mark.root]


@pytest.fixture(autouse=True)
def permitted():
    """As root on Debian tests/run has installed Postfix and Dovecot; namespaces are not permitted everywhere."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"],
                                                         capture_output=True).returncode:
        pytest.skip("namespaces are not permitted here")


def test_every_work(open_place):
    place = f"{open_place}/benchmarks"
    os.mkdir(place)
    told = run("run", "--smoke", "--place", place)
    assert os.listdir(place) == [], "nothing stays"
    assert {line.split(" round ")[0] for line in told.splitlines() if " round 1: " in line} == set(works.ALL)


def run(program, *words):
    done = subprocess.run([sys.executable, f"{ROOT}/benchmarks/{program}", *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
