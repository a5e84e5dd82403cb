"""A corpus of odd messages, variables and arguments with what notqmail 1.09's qmail-inject made of them.

golden.json: cases, bytes as characters of the same number. `header` is what reached qmail-queue, with
times and process ids masked, `envelope` likewise. Control files: those of CONTROL.
"""
import json
import os
import re

import pytest

from pyqmail.inject import injection

CONTROL = {"me": b"host.example.org", "defaulthost": b"dh.example.org", "defaultdomain": b"dd.example.org",
           "plusdomain": b"pd.example.org", "idhost": b"id.example.org"}
MASKS = [(rb"(Date: )\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d -0000\n", rb"\1D\n"),
         (rb"<\d{14}\.\d+\.qmail@", b"<S@"), (rb"-\d{9,10}\.\d+(?![\d.])", b"-TP")]

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), encoding="ascii") as f:
    CASES = json.load(f)


class Queue:
    """Takes the place of Submission and keeps what it is given."""

    def __init__(self, environ):
        self.message, self.envelope = b"", None
        Queue.last = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def put(self, data):
        self.message += data

    def finish(self, sender, recipients):
        self.envelope = b"F%b\0%b\0" % (sender, b"".join(b"T%b\0" % recipient for recipient in recipients))
        return b""


def masked(data):
    for pattern, instead in MASKS:
        data = re.sub(pattern, instead, data)
    return data.decode("latin-1")


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_as_the_original(case, monkeypatch, capfdbinary):
    monkeypatch.setattr(injection, "Submission", Queue)
    monkeypatch.setattr(injection.control, "line", lambda name, *defaults: CONTROL[name])
    monkeypatch.setattr(injection.sys, "argv", ["qmail-inject"])
    pieces = [case["message"].encode("latin-1")]
    environ = {name.encode("latin-1"): value.encode("latin-1") for name, value in case["env"].items()}
    argv = [word.encode("latin-1") for word in case["argv"]]
    status = injection.inject(argv, environ, lambda: pieces.pop() if pieces else b"")
    assert status == case["exit"]
    if status:
        assert capfdbinary.readouterr().err.decode("latin-1") == case["stderr"]
    else:
        assert masked(Queue.last.message) == case["header"]
        assert masked(Queue.last.envelope) == case["envelope"]
