"""Imports point one way, and each dangerous thing is done in one place only."""
import ast
import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEVEL = {"base": 0, "queue": 1, "users": 1, "auth": 1, "programs": 3}       # the rest are subsystems: 2
ACROSS = {                          # what modules of one level may share
    ("send", "spawn.wire"),         # orders and reports, both ends
    ("vpopmail", "delivery.command"), ("vpopmail", "delivery.dotqmail"), ("vpopmail", "delivery.message"),
    ("delivery", "vpopmail.delivery"),      # vdelivermail in a .qmail file, without a process of its own
    ("spawn", "delivery.copies"), ("vpopmail", "delivery.copies"),      # which delivery it is
    ("vpopmail", "inject.injection"),       # forwards of virtual users
    ("install", "vpopmail.database"), ("install", "vpopmail.database_url"),     # accounts in SQL
    ("install", "vpopmail.home"),   # which home is made, or taken over,
    ("install", "vpopmail.roaming"), ("install", "vpopmail.files"),     # and whose rules SMTP follows
    ("pop3", "vpopmail.checker"),   # vchkpw without a process of its own
    ("install", "imap.place"), ("install", "imap.settings"), ("install", "imap.dovecot_settings"),
    *(("imap", f"vpopmail.{part}") for part in (            # IMAP servers of others on its accounts
        "accounts assign checker errors files flags home login loginlog names roaming userdir users".split())),
    ("smtp", "rcptcheck.client"), ("smtp", "rcptcheck.flow"), ("smtp", "rcptcheck.wire"),       # who asks
    ("qmtp", "rcptcheck.client"), ("qmtp", "rcptcheck.flow"), ("qmtp", "rcptcheck.wire"),
    ("install", "rcptcheck.client"), ("install", "rcptcheck.wire"),
    ("rcptcheck", "send.routing"), ("rcptcheck", "send.rewrite"),      # it answers as they would: where mail goes,
    ("rcptcheck", "delivery.dotqmail"), ("rcptcheck", "vpopmail.recipient"),    # and what is there
}
LIBRARIES = {"aiosmtpd": "smtp/aio.py", "pam": "auth/accounts_pam.py", "dns": "base/dns.py",
             "cdblib": "base/cdb.py", "daemon": "programs/qmailctl.py", "sqlalchemy": "vpopmail/database.py",
             "sqlite3": "vpopmail/database.py"}


def modules():
    for directory, _, files in os.walk(os.path.join(ROOT, "pyqmail")):
        for name in files:
            if name.endswith(".py"):
                yield os.path.relpath(os.path.join(directory, name), os.path.join(ROOT, "pyqmail"))


def tree(module):
    with open(os.path.join(ROOT, "pyqmail", module), encoding="utf-8") as f:
        return ast.parse(f.read())


def imported(module):
    """Packages of pyqmail that a module imports, and top-level names of everything else."""
    here = ["pyqmail", *module.split("/")[:-1]]
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = here[:len(here) - node.level + 1] if node.level else []
            path = start + (node.module.split(".") if node.module else [])
            yield from ([*path, alias.name] for alias in node.names)


def level(package):
    return LEVEL.get(package, 2)


MODULES = sorted(modules())


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    mine = module.split("/")[0] if "/" in module else None
    if mine is None:
        return
    for path in imported(module):
        if path[0] == "pyqmail" and len(path) > 1:
            assert level(path[1]) <= level(mine), f"{module} imports {'.'.join(path)}"
            if level(path[1]) == level(mine) and path[1] != mine:
                assert (mine, ".".join(path[1:3])) in ACROSS, f"{module} imports {'.'.join(path)}"


@pytest.mark.parametrize("module", MODULES)
def test_each_library_has_one_door(module):
    for path in imported(module):
        door = LIBRARIES.get(path[0])
        assert door is None or module == door, f"{module} imports {path[0]}; {door} is its door"


CALLS = {                           # call -> the files that may use it
    r"\bos\.set(res)?uid\b|\bos\.set(res)?gid\b|\bos\.setgroups\b|\bos\.initgroups\b": {"base/prot.py"},
    # child.py forks, executes and waits; qmailctl forks once to be detached, and becomes another home's qmailctl
    r"\bos\.(fork|forkpty|exec[lv]p?e?|posix_spawnp?|wait\w*)\(": {"base/child.py", "programs/qmailctl.py"},
    r"\bshell\s*=\s*True\b|\bos\.system\b|\bos\.popen\b|\bimport subprocess\b": set(),
    r"^\s*import _?ctypes\b": {"base/libc.py", "base/durable.py", "auth/hashes.py", "users/passwd.py"},
    r"\bset_wakeup_fd\b|\b_signal\b": {"base/sig.py", "base/deadline.py"},
    r"\bsetrlimit\b": {"base/limits.py", "programs/qmail_rspawn.py"},
}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("pattern", sorted(CALLS))
def test_dangerous_calls_stand_in_one_place(module, pattern):
    with open(os.path.join(ROOT, "pyqmail", module), encoding="utf-8") as f:
        assert not re.search(pattern, f.read(), re.MULTILINE) or module in CALLS[pattern]


# Protocols, formats and decisions: no descriptor, no socket, no clock, so that a test or a fuzzer can feed them.
PURE = """base/address base/header base/number base/options base/received delivery/environment delivery/loop
    imap/wire inject/addresses inject/environment inject/fields inject/rewrite inject/tokens pop3/session pop3/wire
    qmtp/qmqp qmtp/qmtp qmtp/session qmtp/wire queue/names send/messages send/rewrite send/scheduler
    smtp/client smtp/commands smtp/data smtp/data_writer smtp/grammar smtp/refusing smtp/reports smtp/session
    rcptcheck/wire spawn/ending spawn/wire users/assign users/lookup""".split()
OUTSIDE = {"os", "time", "socket", "_socket", "select", "selectors", "asyncio", "_signal", "fcntl", "mmap", "resource"}


@pytest.mark.parametrize("module", PURE)
def test_protocols_touch_nothing_outside(module):
    assert not OUTSIDE & {path[0] for path in imported(f"{module}.py")}


# Programs that are started per message or per connection import none of these when they start.
HEAVY = {"asyncio", "email", "typing", "dataclasses", "logging", "argparse", "subprocess", "dns", "aiosmtpd", "re",
         "socket", "signal"}
STARTED_OFTEN = ["qmail-queue", "qmail-inject", "sendmail", "qmail-local", "qmail-remote", "qmail-smtpd", "qmail-pop3d",
                 "qmail-popup", "qmail-clean", "qmail-qmtpd", "qmail-qmqpd", "qmail-qmqpc", "qsmhook"]


@pytest.mark.parametrize("program", STARTED_OFTEN)
def test_start_up_imports_are_light(program):
    import subprocess
    code = ("import sys; sys.path.insert(0, %r); import pyqmail.programs.%s; print(*sys.modules)"
            % (ROOT, program.replace("-", "_")))
    loaded = subprocess.run(["/usr/bin/python3", "-IS", "-c", code], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & {name.split(".")[0] for name in loaded.split()}
