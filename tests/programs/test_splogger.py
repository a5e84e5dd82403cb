"""splogger: lines to datagrams."""
import os
import socket

import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.base import syslog
from pyqmail.programs import splogger


def pieces(*blocks):
    lines = splogger.Lines()
    out = [piece for block in blocks for piece in lines.feed(block)]
    return out + list(lines.end())


@pytest.mark.parametrize("data, expected", [
    (b"a\nb\n", [(b"a", False), (b"b", False)]),
    (b"a\nlast", [(b"a", False), (b"last", False)]),
    (b"\n\n", []),
    (b"", []),
    (b"a\tb\0\xe4\n", [(b"a?b??", False)]),
    (b"x" * 799 + b"\ny\n", [(b"x" * 799, False), (b"y", False)]),
    (b"x" * 1600 + b"\ny\n", [(b"x" * 799, False), (b"x" * 799, True), (b"xx", True), (b"y", False)]),
])
def test_pieces(data, expected):
    assert pieces(data) == expected
    assert pieces(*(data[n:n + 1] for n in range(len(data)))) == expected


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\n", b"z" * 798]), max_size=10))
def test_nothing_is_lost_or_joined(blocks):
    whole = b"".join(blocks)
    out = b""
    for text, continued in pieces(*blocks):
        out += (b"" if continued else b"\n") + text
    kept = [line for line in whole.split(b"\n") if line]
    assert out == b"".join(b"\n" + line.translate(splogger.PRINTABLE) for line in kept)


def test_a_log_that_is_away_is_told_of_what_it_missed(tmp_path):
    path = str(tmp_path / "log")
    log = syslog.Syslog(b"t", path=path)
    log.send(syslog.INFO, b"lost")
    log.send(syslog.INFO, b"lost too")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(path)
        log.send(syslog.INFO, b"back")
        assert [daemon.recv(100).split(b": ", 1)[1] for _ in range(2)] == [b"warning: 2 log lines lost", b"back"]


def test_a_restarted_daemon_gets_the_next_line(tmp_path):
    path = tmp_path / "log"
    log = syslog.Syslog(b"t", path=str(path))
    for text in (b"one", b"two"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind(str(path))
            log.send(syslog.INFO, text)
            assert daemon.recv(100).endswith(b"t: " + text)
        path.unlink()


@pytest.mark.parametrize("facility, start", [(2, b"<22>"), (16, b"<134>"), (0, b"<6>"), (127, b"<1022>"), (128, b"<14>")])
def test_facilities(facility, start):
    assert syslog.Syslog(b"t", facility)._record(syslog.INFO, b"x").startswith(start)


def test_several_sources_have_tags_and_lines_of_their_own(monkeypatch):
    sent = []
    monkeypatch.setattr(splogger, "confine", lambda: None)      # this is the process of all tests
    monkeypatch.setattr(syslog.Syslog, "_transmit", lambda log, record: sent.append(record.split(b" ", 3)[3]) or True)
    monkeypatch.setattr(syslog.time, "strftime", lambda form: "Nov 22 00:00:00")
    pipes = {name: os.pipe() for name in ("one", "two")}
    for name, (_, writer) in pipes.items():
        os.write(writer, b"alert: %b\nhalf" % name.encode())
    os.close(pipes["one"][1])
    os.write(pipes["two"][1], b" and half\n")
    os.close(pipes["two"][1])
    words = [word for name, (reader, _) in pipes.items() for word in (b"%d" % reader, name.encode())]
    try:
        assert splogger.main([b"--several", *words]) == 0
    finally:
        for reader, _ in pipes.values():
            os.close(reader)
    told = sorted((tag, text.split(b" ", 1)[1]) for tag, text in (record.split(b": ", 1) for record in sent))
    assert told == [(b"one", b"alert: one"), (b"one", b"half"), (b"two", b"alert: two"), (b"two", b"half and half")]


def test_usage_of_several(capfd):
    assert splogger.main([b"--several", b"0"]) == 100
    assert "usage" in capfd.readouterr().err
