"""What strangers choose (sender, recipient, message) reaches a command only where it is documented.

Shellshock went through these variables: their *values* are raw, as recorded, so nothing else may
depend on them: no further names, no part of the command line, no shell but /bin/sh.
"""
import os

import pytest

from pyqmail.delivery import command, environment
from pyqmail.delivery.deliver import Order, deliver

MARK = b"() { :;}; touch hit; `touch hit` $(touch hit) ';touch hit;\" | touch hit\n-=x"
DOCUMENTED = {
    b"SENDER", b"NEWSENDER", b"RECIPIENT", b"LOCAL", b"HOST", b"HOST2", b"HOST3", b"HOST4",
    b"EXT", b"EXT2", b"EXT3", b"EXT4", b"DEFAULT", b"DTLINE", b"RPLINE", b"UFLINE", b"USER", b"HOME",
}


def order(home=b"/", **more):
    return Order(b"joe", home, b"joe-" + MARK, b"-", MARK, MARK + b".example", MARK + b"@" + MARK, b"",
                 environ={b"PATH": b"/bin"}, **more)


def test_only_documented_names():
    assert set(environment.variables(order(), 0, MARK, MARK)) == DOCUMENTED | {b"PATH"}


def test_one_line_each():
    found = environment.variables(order(), 0, MARK, MARK)
    for name in (b"DTLINE", b"RPLINE", b"UFLINE"):
        assert found[name].index(b"\n") == len(found[name]) - 1


@pytest.fixture
def run(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "message").write_bytes(b"Subject: " + MARK + b"\n\n")
    message, output = os.open(tmp_path / "message", os.O_RDONLY), os.open(tmp_path / "said", os.O_RDWR | os.O_CREAT)

    def run(text):
        (tmp_path / ".qmail-default").write_bytes(text)
        return deliver(order(os.fsencode(tmp_path), message=message, output=output)), (tmp_path / "said").read_bytes()
    yield run
    os.close(message)
    os.close(output)


def test_nothing_of_it_is_carried_out(run, tmp_path):
    assert run(b'|printf %s "$SENDER$EXT$DEFAULT" >/dev/null; cat >/dev/null\n') == (0, b"did 0+0+1\n")
    assert not (tmp_path / "hit").exists()


def test_the_command_line_is_the_users_own(run, monkeypatch):
    started = []
    monkeypatch.setattr(command.child, "start", lambda path, argv, *_, **__: started.append((path, argv)) or 1)
    monkeypatch.setattr(command.child, "wait", lambda _: 0)
    assert run(b"|own line\n")[0] == 0
    assert started == [(b"/bin/sh", [b"/bin/sh", b"-c", b"own line"])]


def test_nothing_of_one_message_reaches_the_next(run, tmp_path):
    assert run(b"|export LEFT=x; cd /; umask 0; exec 9>&1\n")[0] == 0
    code, said = run(b"|env | grep -c '^LEFT='; umask; [ -e /proc/self/fd/9 ]; echo $?; pwd\n")
    assert code == 0
    assert said.split(b"\n")[1:5] == [b"0", b"0077", b"1", os.fsencode(os.path.realpath(tmp_path))]


def test_no_nul_is_possible(run, tmp_path):
    """A NUL would end a variable or argument early: such an order defers, it is never cut short."""
    message = os.open(tmp_path / "message", os.O_RDONLY)
    (tmp_path / ".qmail-default").write_bytes(b"|touch hit\n")
    try:
        code = deliver(Order(b"joe", os.fsencode(tmp_path), b"joe-a", b"-", b"a", b"h", b"s\0@x", b"", message=message,
                             output=message, environ={}))
    finally:
        os.close(message)
    assert code == 111 and not (tmp_path / "hit").exists()
