"""The small form of the extremes; the large one is `python -m tests.extremes`, see doc/RELIABILITY.md."""
import os
import shutil
import subprocess
import sys

import pytest

from tests.extremes.__main__ import PARTS

pytestmark = [pytest.mark.root, pytest.mark.system]

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="module")
def loop_devices():
    for program, package in (("mkfs.ext4", "e2fsprogs"), ("losetup", "mount")):
        assert shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin"), f"no {program}: apt-get install {package}"
    found = subprocess.run(["losetup", "--find"], capture_output=True, text=True)
    if found.returncode or not os.access(found.stdout.strip(), os.R_OK):
        pytest.skip(f"no loop devices here ({(found.stderr or found.stdout).strip()}): no full disks")


def test_extremes(loop_devices, tmp_path):
    """A large message, a long list, a long queue, full disks and two settings of the clock: nothing is lost, stuck or
    there twice, and no process takes more memory than it may."""
    report = tmp_path / "report"
    done = subprocess.run([sys.executable, "-m", "tests.extremes", "--small", "--report", str(report)], cwd=ROOT,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = report.read_text()
    assert text.endswith("all is as promised\n") and all(f"\n{name} " in f"\n{text}" for name in PARTS), text
