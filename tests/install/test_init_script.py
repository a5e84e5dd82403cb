"""boot/qmail.init with a qmailctl that says what it was asked."""
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UP, DOWN = "send: up (pid 7) 9 seconds", "smtpd: down"


@pytest.fixture
def script(tmp_path):
    """script(verb, says=…, code=…): (exit code, output) with a qmailctl that says this."""
    with open(f"{ROOT}/boot/qmail.init", encoding="utf-8") as f:
        (tmp_path / "init").write_text(f.read().replace("QMAILHOME", str(tmp_path)))
    (tmp_path / "bin").mkdir()

    def run(*words, says="", code=0):
        (tmp_path / "bin/qmailctl").write_text(f"#!/bin/sh\necho \"asked: $*\"\necho '{says}'\nexit {code}\n")
        os.chmod(tmp_path / "bin/qmailctl", 0o755)
        done = subprocess.run(["sh", tmp_path / "init", *words], capture_output=True, text=True)
        return done.returncode, (done.stdout + done.stderr).strip()
    return run


@pytest.mark.parametrize("verb, asked", [("start", "start"), ("stop", "stop"), ("restart", "restart"),
                                         ("reload", "reload"), ("force-reload", "restart"), ("doctor", "doctor")])
@pytest.mark.parametrize("code", [0, 1, 111])
def test_verbs(script, verb, asked, code):
    assert script(verb, code=code) == (code, f"asked: {asked}")


@pytest.mark.parametrize("says, code, expected", [
    (UP, 0, 0), (f"{UP}\n{DOWN}", 0, 3), (DOWN, 0, 3), ("", 111, 111),
])
def test_status_is_3_when_something_does_not_run(script, says, code, expected):
    assert script("status", says=says, code=code) == (expected, f"asked: stat\n{says}".strip())


@pytest.mark.parametrize("words", [(), ("again",)])
def test_usage(script, words):
    code, said = script(*words)
    assert code == 100 and "usage: " in said and "asked" not in said
