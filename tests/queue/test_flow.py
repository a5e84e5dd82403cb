"""Submissions from an event loop: nothing blocks, whatever the queue program does."""
import asyncio
import os
import time

import pytest

from pyqmail.queue.flow import Flow

READER = "#!/bin/sh\ncat > {out}.message; cat <&1 > {out}.envelope; echo 'Dno thanks' >&6; exit {code}\n"


@pytest.fixture
def program(tmp_path):
    def make(text, **more):
        path = tmp_path / "queue"
        path.write_text(text.format(out=tmp_path / "out", **more))
        path.chmod(0o755)
        return {b"QMAILQUEUE": os.fsencode(path), b"PATH": os.environb[b"PATH"]}
    return make


async def submit(environ, pieces, sender=b"s@a", recipients=(b"r@b",)):
    loop = asyncio.get_running_loop()
    flow = Flow(loop, environ)
    for piece in pieces:
        resumed = asyncio.Event()
        if not flow.put(piece, resumed.set):
            await resumed.wait()
    done = loop.create_future()
    flow.finish(sender, recipients, lambda *answer: done.set_result(answer))
    return await asyncio.wait_for(done, 60)


def test_message_and_envelope_arrive(program, tmp_path):
    pieces = [b"Subject: x\n\n", b"y" * 1_000_000, b"end\n"]
    recipients = [b"%d@b.example" % n for n in range(20_000)]
    answer, qp = asyncio.run(submit(program(READER, code=0), pieces, b"s@a", recipients))
    assert answer == b"" and qp > 1
    assert (tmp_path / "out.message").read_bytes() == b"".join(pieces)
    assert (tmp_path / "out.envelope").read_bytes() == b"Fs@a\0%b\0" % b"".join(b"T%b\0" % one for one in recipients)


@pytest.mark.parametrize("code, answer", [(31, b"Dmail server permanently rejected message (#5.3.0)"), (82,
    b"Dno thanks\n")])
def test_exit_codes(program, code, answer):
    assert asyncio.run(submit(program(READER, code=code), [b"x"]))[0] == answer


def test_program_that_reads_nothing(program):
    answer, _ = asyncio.run(submit(program("#!/bin/sh\nexit 51\n"), [b"x" * 1_000_000] * 3))
    assert answer == b"Zqq out of memory (#4.3.0)"


def test_grandchild_that_holds_the_pipes(program):
    text = "#!/bin/sh\nsleep 300 <&- >&- & echo $! >{out}.pid\nexit 53\n"
    environ = program(text)
    began = time.monotonic()
    answer = asyncio.run(submit(environ, [b"x"]))[0]
    with open(os.path.join(os.path.dirname(os.fsdecode(environ[b"QMAILQUEUE"])), "out.pid"), encoding="ascii") as f:
        os.kill(int(f.read()), 9)
    assert answer == b"Zqq write error or disk full (#4.3.0)" and time.monotonic() - began < 200


def test_break_off(program, tmp_path):
    async def broken():
        loop = asyncio.get_running_loop()
        flow = Flow(loop, program(READER, code=0))
        flow.put(b"half", None)
        flow.fail()
        done = loop.create_future()
        flow.finish(b"s", [b"r"], lambda *answer: done.set_result(answer))
        return await done
    assert asyncio.run(broken())[0] == b"Zqq read error (#4.3.0)"
    assert (tmp_path / "out.envelope").read_bytes() == b""


def test_abandoned_program_is_reaped(program):
    async def abandoned():
        flow = Flow(asyncio.get_running_loop(), program("#!/bin/sh\ncat >/dev/null\n"))
        while flow.put(b"x" * 65_536, lambda: None):
            pass
        flow.abandon()
        while True:                 # until the loop has waited for it
            try:
                os.kill(flow._queue.qp, 0)
            except ProcessLookupError:
                return
            await asyncio.sleep(0.005)
    descriptors = os.listdir("/proc/self/fd")
    asyncio.run(asyncio.wait_for(abandoned(), 60))
    assert len(os.listdir("/proc/self/fd")) <= len(descriptors)
