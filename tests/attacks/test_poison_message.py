"""One message, order or file that kills who works on it (OpenSMTPD#1183): it is deferred, all others live.

qmail's processes are the quarantine: what a message can kill serves that delivery alone. What serves many
(qmail-send, qmail-rspawn's coroutines, the queue service) must survive whatever one of them raises.
"""
import asyncio
import contextlib
import os
import sys
from types import SimpleNamespace

import pytest

from pyqmail.delivery.deliver import Order, deliver
from pyqmail.programs import qmail_send
from pyqmail.spawn import aio, wire

RAISED = [MemoryError(), RecursionError("deep"), ValueError("x" * 10_000), OSError(28, "full"), KeyError("a\nb"),
          UnicodeEncodeError("ascii", "\udcff", 0, 1, "no"), AssertionError()]


@contextlib.contextmanager
def spool():
    """Our descriptors 0 and 1 are a spawner's; `orders` and `reports` are the other ends."""
    saved = os.dup(0), os.dup(1)
    orders, to_spawner = os.pipe()
    from_spawner, reports = os.pipe()
    os.dup2(orders, 0)
    os.dup2(reports, 1)
    os.close(orders)
    os.close(reports)
    yield SimpleNamespace(orders=to_spawner, reports=from_spawner)
    for at, fd in enumerate(saved):
        os.dup2(fd, at)
        os.close(fd)
    os.close(from_spawner)


@pytest.mark.parametrize("why", RAISED, ids=lambda why: type(why).__name__)
def test_one_remote_delivery_of_many(tmp_path, monkeypatch, why):
    """All remote deliveries share a process: one that breaks down is one report."""
    (tmp_path / "1").write_bytes(b"Subject: x\n\n")
    monkeypatch.chdir(tmp_path)

    async def carry(group, message):
        await asyncio.sleep(0)
        if group[0].recipient.startswith(b"poison"):
            raise why
        return [b"r192.0.2.1 accepted message.\nK"]

    with spool() as ends:
        for number, recipient in enumerate([b"a@x", b"poison@x", b"b@x"]):
            os.write(ends.orders, wire.order(number, b"1", b"s@a", recipient))
        os.close(ends.orders)
        asyncio.run(aio.Spawner(carry, wire.HELLO, 1, os.getuid()).run())
        data = os.read(ends.reports, 65_536)
    found = {report.delnum: report.text[:1] for report in wire.ReportReader().feed(data[1:])}
    assert found == {0: b"r", 1: b"Z", 2: b"r"}


@pytest.mark.parametrize("why", [MemoryError(), RecursionError(), KeyError("bug"), OSError(5, "io")],
                         ids=lambda why: type(why).__name__)
def test_a_turn_of_qmail_send(why):
    """It says so, waits, and goes on."""
    turns, said, blamed = [], [], []

    def turn():
        turns.append(1)
        if len(turns) == 1:
            raise why
        sender.ending = True
    sender = SimpleNamespace(ending=False, turn=turn, pause=said.append, under_way=lambda: False, deliveries=None,
                             blame=lambda: blamed.append(1), entry=SimpleNamespace(store_times=lambda: None),
                             log=SimpleNamespace(say=said.append, flush=lambda: None))
    qmail_send.Sender.run(sender)
    assert blamed == ([] if isinstance(why, MemoryError) else [1])     # that is nobody's fault
    assert len(turns) == 2 and said[0].startswith("alert: ") and "\n" not in said[0] and said[-1] == b"status: exiting"


@pytest.mark.parametrize("message", [
    b"", b"\n", b"\0" * 1000, b":" * 100_000, b"(" * 100_000, b"To: " + b"(" * 50_000 + b"\n\n", b"\r" * 999,
    b"Delivered-To: " * 9999, b"\xff" * 70_000, b"From x\n" * 9999, b"a" * 66_000 + b"\n" + b"b" * 66_000])
@pytest.mark.parametrize("text", [b"./box\n", b"./Maildir/\n", b"|cat >/dev/null\n"])
def test_any_message_can_be_delivered(tmp_path, message, text):
    tmp_path.chmod(0o700)
    for part in ("", "/tmp", "/new", "/cur"):
        os.mkdir(f"{tmp_path}/Maildir{part}")
    (tmp_path / ".qmail").write_bytes(text)
    (tmp_path / "message").write_bytes(message)
    with open(tmp_path / "message", "rb") as f, open(tmp_path / "said", "wb") as said:
        assert deliver(Order(b"joe", os.fsencode(tmp_path), b"joe", b"", b"", b"h", b"s@x", b"", message=f.fileno(),
                             output=said.fileno(), environ={b"PATH": b"/bin"})) == 0
    if text == b"./Maildir/\n":
        name, = os.listdir(tmp_path / "Maildir/new")
        assert (tmp_path / "Maildir/new" / name).read_bytes().endswith(message)


def test_nothing_here_needs_a_deep_stack():
    """Nested comments, lists of lists: parsers count, they do not recurse."""
    from pyqmail.inject import tokens
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        for text in (b"(" * 5000 + b")" * 5000, *(word * 5000 for word in (b"<", b'"', b"[", b"a,", b"g:", b"\\"))):
            try:
                tokens.read(text)
            except tokens.Unparsable:
                pass
    finally:
        sys.setrecursionlimit(limit)
