"""Lines of the log."""
import os

import pytest

from pyqmail.send import messages

LINES = [
    (messages.status([(b"local", 1, 10), (b"remote", 0, 20)], False), b"status: local 1/10 remote 0/20"),
    (messages.status([(b"local", 0, 0), (b"remote", 3, 255)], True), b"status: local 0/0 remote 3/255 exitasap"),
    (messages.new_msg(1001), b"new msg 1001"),
    (messages.info_msg(1001, 18, b"s b@a", 555, 1000), b"info msg 1001: bytes 18 from <s_b@a> qp 555 uid 1000"),
    (messages.starting(7, 1001, b"local", b"j\xe9@x"), b"starting delivery 7: msg 1001 to local j_@x"),
    (messages.outcome(7, b"success", b"did 1+0+0\n"), b"delivery 7: success: did_1+0+0/"),
    (messages.outcome(7, b"deferral", b""), b"delivery 7: deferral: "),
    (messages.mangled(7), b"delivery 7: report mangled, will defer"),
    (messages.bounced(1001, 9), b"bounce msg 1001 qp 9"),
    (messages.ended(1001), b"end msg 1001"),
    (messages.warning("unable to stat", "info/12/1001", messages.LATER),
     b"warning: unable to stat info/12/1001; will try again later"),
    (messages.warning("trouble in select"), b"warning: trouble in select"),
]


@pytest.mark.parametrize("line, expected", LINES)
def test_line(line, expected):
    assert line == expected


def test_safe_byte_by_byte():
    safe = messages.safe(bytes(range(256)))
    assert len(safe) == 256
    for byte, shown in enumerate(safe):
        expected = b"/" if byte == 10 else bytes((byte,)) if 33 <= byte <= 126 and byte != 37 else b"_"
        assert bytes((shown,)) == expected


def test_lines_leave_together_and_whole():
    reader, writer = os.pipe()
    log = messages.Log(writer)
    log.say(b"one")
    log.say(b"two")
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 100)
    log.flush()
    log.flush()
    assert os.read(reader, 100) == b"one\ntwo\n"
    os.close(reader)
    log.say(b"nobody reads this")
    log.flush()
    os.close(writer)
