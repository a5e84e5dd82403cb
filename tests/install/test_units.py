"""boot/*.service: what systemd is told about the services."""
import configparser
import glob
import os
import shutil
import subprocess

import pytest

from pyqmail.base.listen import GRACE
from pyqmail.install import courier, courier_files as files, services

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNITS = sorted(glob.glob(f"{ROOT}/boot/*.service"))


def read(unit):
    parser = configparser.RawConfigParser()
    parser.optionxform = str
    parser.read(unit)
    return parser


def test_there_is_one_for_each_service():
    assert [os.path.basename(unit) for unit in UNITS] == sorted(
        f"qmail-{name}.service" for name in services.NAMES)


@pytest.mark.parametrize("unit", UNITS)
def test_started_again_for_ever(unit):
    """Restart=always alone gives up after five starts within ten seconds."""
    parser = read(unit)
    assert parser["Service"]["Restart"] == "always"
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.parametrize("unit", UNITS)
def test_sessions_and_deliveries_may_end(unit):
    assert read(unit)["Service"]["KillMode"] == "mixed"
    limit = read(unit)["Service"]["TimeoutStopSec"]
    assert limit.endswith("min") or int(limit) > GRACE


def test_the_one_of_courier_imap_names_this_home():
    text = files.filled(files.UNIT, HOME="/var/qmail")
    assert "ExecStart=/var/qmail/bin/qmailctl imap start\n" in text and "@" not in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_them(tmp_path):
    program = tmp_path / "bin/qmailctl"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = []
    for unit in UNITS:
        with open(unit, encoding="utf-8") as f:
            made.append(tmp_path / os.path.basename(unit))
            made[-1].write_text(f.read().replace("QMAILHOME", str(tmp_path)))
    made.append(tmp_path / os.path.basename(courier.UNIT))
    made[-1].write_text(files.filled(files.UNIT, HOME=str(tmp_path)))
    done = subprocess.run(["systemd-analyze", "verify", *made], capture_output=True, text=True)
    assert [line for line in (done.stdout + done.stderr).splitlines() if str(tmp_path) in line] == []
