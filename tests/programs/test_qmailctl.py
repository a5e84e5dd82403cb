"""qmailctl's command line, and its verbs where nothing runs."""
import os
import subprocess

import pytest

from pyqmail.programs import qmailctl

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize("words,options", [
    ([], {}),
    (["--home", "/x"], {"home": "/x"}),
    (["--home=/x", "--smtp=127.0.0.1:25", "--pop3", "127.0.0.1:110"],
     {"home": "/x", "smtp": "127.0.0.1:25", "pop3": "127.0.0.1:110"}),
    (["--start", "--venv", "/v"], {"start": True, "venv": "/v"}),
    (["run", "send", "--home", "/x"], {"words": ["run", "send"], "home": "/x"}),
    (["--home", "/x", "stat"], {"words": ["stat"], "home": "/x"}),
])
def test_options(words, options):
    assert qmailctl.parse(words) == {"words": [], **options}


@pytest.mark.parametrize("words", [["--hoem", "/x"], ["--home"], ["--start=yes"], ["--"]])
def test_wrong_options(words):
    assert qmailctl.parse(words) is None


def ctl(*words):
    return subprocess.run([f"{ROOT}/bin/qmailctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)


@pytest.mark.parametrize("words", [["begin"], ["stat", "--hoem"], ["install", "here"], ["stat", "more"], ["run"],
                                   ["run", "x"]])
def test_usage(words):
    done = ctl(*words)
    assert done.returncode == 100 and "usage" in done.stdout + done.stderr


def test_help_names_every_verb():
    text = ctl("help").stdout
    assert all(f"\n{verb} " in text for verb in qmailctl.VERBS)


def test_another_home_has_its_own(tmp_path):
    done = ctl("stat", "--home", str(tmp_path))
    assert done.returncode == 111 and "unable to run" in done.stderr
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/qmailctl").write_text("#!/bin/sh\necho \"its own: $*\"\n")
    os.chmod(tmp_path / "bin/qmailctl", 0o755)
    assert ctl("stat", "--home", str(tmp_path)).stdout == f"its own: stat --home {tmp_path}\n"


@pytest.mark.parametrize("directory", ["/tmp/with blank", "/tmp/with:colon", "/tmp/with'quote"])
def test_homes_that_a_shell_would_mangle(directory):
    done = ctl("install", "--home", directory)
    assert done.returncode == 111 and "the home must be" in done.stderr
    assert not os.path.exists(directory)
