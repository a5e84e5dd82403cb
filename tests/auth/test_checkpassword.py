"""Descriptor 3, both ends."""
import os

import pytest

from pyqmail.auth import checkpassword


@pytest.mark.parametrize("data, login", [
    (b"joe\0secret\0<1.2@h>\0", (b"joe", b"secret")),
    (b"joe\0secret\0", (b"joe", b"secret")),
    (b"joe\0\0x\0", (b"joe", b"")),
    (b"joe\0secret\0a\0b\0c", (b"joe", b"secret")),
])
def test_decode(data, login):
    assert checkpassword.decode(data) == login


@pytest.mark.parametrize("data", [b"", b"joe", b"joe\0", b"joe\0secret"])
def test_what_is_no_login(data):
    with pytest.raises(checkpassword.Misused):
        checkpassword.decode(data)


def pipe_with(data):
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def test_receive_is_bounded():
    whole = b"x" * checkpassword.LIMIT
    assert checkpassword.receive(pipe_with(whole)) == whole
    assert checkpassword.receive(pipe_with(whole + b"y")) is None
    assert checkpassword.receive(pipe_with(b"z" * 60000)) is None


CHECKERS = [
    ([b"sh", b"-c", b"exit 3"], 3),
    ([b"sh", b"-c", b"kill -9 $$"], -9),
    ([b"/nonexistent/checker"], checkpassword.WRONG),
    ([b"sh", b"-c", b'test "$(tr "\\000" : <&3)" = joe:secret:stamp:'], 0),
]


@pytest.mark.parametrize("checker, status", CHECKERS)
def test_ask(checker, status):
    login = checkpassword.encode(b"joe", b"secret", b"stamp")
    got = checkpassword.ask(checker, login, b"/usr/bin:/bin")
    assert got == status or got is None and status    # None: it was gone before the login was written
    assert login == b"joe\0secret\0stamp\0"
