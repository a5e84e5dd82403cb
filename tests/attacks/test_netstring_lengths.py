"""Lengths that lie (notqmail 2022: the length of a netstring was not checked to be a number; before that, huge
ones overflowed). Nothing is set aside for a length, and what is no number ends the session."""
import os
import resource
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MEMORY = 100 << 20
QUEUE = "#!/bin/sh\nexec 3<&1\ncat >/dev/null\ncat <&3 >$OUT\n"


@pytest.fixture
def daemon(tmp_path):
    """daemon(program, input): (exit code, output, envelope handed over) under a limit of memory."""
    queue = tmp_path / "queue"
    queue.write_text(QUEUE)
    queue.chmod(0o755)

    def run(program, pieces):
        with subprocess.Popen([f"{ROOT}/bin/{program}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env={"PATH": "/usr/bin:/bin", "QMAILQUEUE": str(queue), "OUT": str(tmp_path / "out"),
                                   "RELAYCLIENT": ""},
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))) as process:
            try:
                for piece in pieces:
                    process.stdin.write(piece)
                process.stdin.close()
            except BrokenPipeError:
                pass
            output = process.stdout.read()
        envelope = (tmp_path / "out").read_bytes() if (tmp_path / "out").exists() else b""
        return process.returncode, output, envelope
    return run


@pytest.mark.parametrize("program, text, code", [
    ("qmail-qmtpd", b"5x:\nabcd,", 100), ("qmail-qmtpd", b"-5:\nabcd,", 100),
    ("qmail-qmtpd", b"4294967301:\nabcd,", 111),
    ("qmail-qmtpd", b"18446744073709551621:\nabcd,", 111), ("qmail-qmtpd", b"2:\na,1:s,4294967297:", 111),
    ("qmail-qmtpd", b"2:\na,1:s,4:1/:r,,", 100), ("qmail-qmtpd", b"2:\na,1:s,21:18446744073709551617:", 111),
    ("qmail-qmqpd", b"4294967310:1:a,1:s,1:r,,", 111), ("qmail-qmqpd", b"12:1:a,1:s,1/:,,", 100),
    ("qmail-qmqpd", b"12:999999999:a", 0), ("qmail-qmqpd", b"12:99999999:aaaa,", 100), ("qmail-qmqpd", b":" * 20, 100)])
def test_no_number(daemon, program, text, code):
    status, output, envelope = daemon(program, [text])
    assert (status, output) == (code, b"") and not envelope.endswith(b"\0\0")


@pytest.mark.parametrize("program, start", [("qmail-qmtpd", b"999999999:\n"), ("qmail-qmqpd", b"999999999:999999900:")])
def test_a_long_message_needs_no_memory(daemon, program, start):
    status, output, envelope = daemon(program, [start, *[b"x" * (1 << 20)] * 200])
    assert (status, output) == (0, b"") and not envelope.endswith(b"\0\0")


def test_a_list_of_recipients_without_end(daemon):
    status, output, envelope = daemon("qmail-qmqpd", [b"999999999:1:a,0:,", *[b"0:," * 300_000] * 5])
    assert (status, output) == (111, b"") and not envelope.endswith(b"\0\0")
    status, output, envelope = daemon("qmail-qmtpd", [b"2:\na,1:s,16777217:"])
    assert (status, output) == (111, b"")
