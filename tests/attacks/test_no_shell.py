"""A host name in a shell line was remote command execution (2026): no shell but the one a .qmail line asks for."""
import os
import re
import stat

import pytest

from pyqmail.smtp.client import Peer, Session
from pyqmail.smtp.route import Connect, Unreachable, relay_for, walk

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOSTS = [b"`touch hit`", b"$(touch hit)", b"a;touch hit", b"a|touch hit", b"-oProxyCommand=touch hit", b"a\ntouch hit",
         b"&touch hit&", b"a b", b"'", b'"', b"../../x", b"a%b", b"$IFS", b"\\"]
#  where a shell may be named at all, and what for
SHELLS = {"pyqmail/delivery/command.py": "a command of a .qmail file",
          "pyqmail/base/child.py": "a script without #!",
          "pyqmail/queue/confined.py": "what bin/qmail-queue begins with, permitted to a confined server"}
PYTHON = {"pyqmail/install/interpreter.py": "which version an interpreter is",
          "pyqmail/install/onefile.py": "compiled modules in one file, made by who installs",
          "pyqmail/__init__.py": "the same, read: as trusted as the .pyc files beside it"}
WAYS_OUT = re.compile(r"/bin/(ba|da|z)?sh\b|[\"']-c[\"']|\bsubprocess\b|\bpty\b"
                      r"|\bos\.(system|popen|spawn\w*|exec\w*|posix_spawnp?)\b"
                      r"|\beval\(|\bexec\(|\bpickle\b|\bmarshal\b|\bshelve\b|__import__")
#  programs are executed by base/child.py; these become another program themselves, by a path of ours
BECOME = {"pyqmail/programs/qmail_start.py": "os.execvpe", "pyqmail/programs/qmailctl.py": "os.execv",
          "pyqmail/install/services.py": "os.execve"}


def sources():
    for directory, _, files in os.walk(os.path.join(ROOT, "pyqmail")):
        for name in files:
            if name.endswith(".py"):
                yield os.path.relpath(os.path.join(directory, name), ROOT)


@pytest.mark.parametrize("source", sorted(sources()))
def test_who_can_start_anything(source):
    with open(os.path.join(ROOT, source), encoding="utf-8") as f:
        code = re.sub(r'"""(.|\n)*?"""|#.*', "", f.read())
    found = {match.group() for match in WAYS_OUT.finditer(code)}
    assert found <= {BECOME.get(source)} or source in {**SHELLS, **PYTHON}, f"{source}: {found}"


def test_the_list_is_what_there_is():
    assert all(os.path.exists(os.path.join(ROOT, path)) for path in (*SHELLS, *PYTHON, *BECOME))


def test_launchers_run_nothing_but_the_interpreter():
    for name in os.listdir(os.path.join(ROOT, "bin")):
        path = os.path.join(ROOT, "bin", name)
        if stat.S_ISREG(os.lstat(path).st_mode):
            with open(path, "rb") as f:
                lines = f.read().split(b"\n")
            assert lines[0] in (b"#!/usr/bin/python3 -ISXutf8", b"#!/bin/sh"), name
            assert b"eval" not in b"".join(lines) and b"`" not in b"".join(lines), name


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_name_is_a_name(host, tmp_path, monkeypatch):
    """From a recipient or an MX record: looked up, connected to, shown; never more."""
    monkeypatch.chdir(tmp_path)
    zone = {(b"h", "MX"): [(10, host)], (host, "A"): [b"192.0.2.1"]}
    for name in (b"h", host):
        try:
            steps = walk(name, relay_for(name, {b"": host}) if name == host else None, frozenset())
            step = next(steps)
            while not isinstance(step, Connect):
                step = steps.send([zone.get(question, []) for question in step.questions])
        except Unreachable as why:
            assert why.report[:1] in b"DZ"
    Session(Peer(b"192.0.2.1", host), b"s@" + host, [b"r@" + host])
    assert os.listdir(tmp_path) == []
