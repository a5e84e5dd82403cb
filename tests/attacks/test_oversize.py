"""Endless input (CVE-2005-1513 to -1515: lengths that overflowed): memory stays bounded, limits answer 552."""
import os

import pytest

PIECE = b"x" * (1 << 20)
GROWTH = 8 << 20                    # bytes more than a small message needs; a read is 64 KiB


def most_memory(connection):
    """Peak resident bytes of the program, which has ended."""
    with open(f"/proc/{connection.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) << 10


def finish(connection, reply):
    heard = connection.ours.recv(4096)
    assert heard.startswith(reply), heard
    peak = most_memory(connection)
    connection.hears(b"QUIT\r\n")
    return peak


@pytest.fixture
def small(smtpd):
    connection = smtpd()
    connection.opened()
    connection.hears(b"x\r\n.\r\n")
    return finish(connection, b"250 ok")


@pytest.fixture
def discard(tmp_path):
    program = tmp_path / "discard"
    program.write_text("#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null\n")
    program.chmod(0o755)
    return os.fspath(program)


def test_header_line_without_end(smtpd, small, discard):
    connection = smtpd(QMAILQUEUE=discard)
    connection.opened()
    connection.hears(b"Subject: ")
    for _ in range(300):
        connection.hears(PIECE)
    connection.hears(b"\r\n.\r\n")
    assert finish(connection, b"250 ok") < small + GROWTH


def test_message_of_dots(smtpd, small, discard):
    connection = smtpd({"databytes": "100000"}, QMAILQUEUE=discard)
    connection.opened()
    for _ in range(40):
        connection.hears(b"\r\n.." * (1 << 18))
    connection.hears(b"\r\n.\r\n")
    assert finish(connection, b"552 ") < small + GROWTH


def test_command_without_end(smtpd, small):
    connection = smtpd()
    connection.says(b"220 mx.example ESMTP\r\n")
    connection.hears(b"RCPT TO:<")
    for _ in range(50):
        connection.hears(PIECE)
    connection.hears(b"\r\n")
    assert finish(connection, b"500 ") < small + GROWTH


def test_recipients_without_end(smtpd, small):
    connection = smtpd()
    connection.says(b"220 mx.example ESMTP\r\n")
    connection.hears(b"MAIL FROM:<>\r\n")
    connection.says(b"250 ok\r\n")
    line = b"RCPT TO:<%b@local.test>\r\n" % (b"x" * 800)
    accepted = 0
    for _ in range(30):
        connection.hears(line * 200)
        heard = b""
        while heard.count(b"\n") < 200:
            heard += connection.ours.recv(65_536)
        accepted += heard.count(b"250 ok\r\n")
        assert heard.count(b"250 ok\r\n") + heard.count(b"452 too many recipients (#4.5.3)\r\n") == 200
    assert 100 <= accepted < 6000
    connection.hears(b"NOOP\r\n")
    assert finish(connection, b"250 ok") < small + GROWTH
