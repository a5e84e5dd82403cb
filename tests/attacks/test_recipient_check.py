"""The recipient check: what strangers can make its parts do by what they call recipients."""
import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyqmail.base import home
from pyqmail.rcptcheck import deciding, front, look, wire
from pyqmail.smtp import grammar
from pyqmail.vpopmail import recipient


class Silent:
    """An event loop that waits for nothing, and the time that stands still."""

    def watch(self, fd, callback):
        pass

    forget = watch

    def monotonic(self):
        return 0.0


@pytest.fixture
def controls(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    for name, text in {"me": "a.test\n", "locals": "a.test\n", "virtualdomains": ":everything\n",
                       "percenthack": "a.test\n"}.items():
        (tmp_path / "control" / name).write_text(text)
    return tmp_path


WORDS = [b"@", b"%", b"a.test", b'"', b"\\", b"/", b"..", b"-", b"<", b">", b"RC1", b"1", b" "]
PIECES = st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=30)), max_size=12).map(b"".join)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES)
def test_root_gets_two_fields_whatever_was_said(controls, argument):
    """What follows RCPT TO: becomes at most one order: numbers of ours, a local part, a domain."""
    address = grammar.address(b"TO:<" + argument.partition(b"\0")[0].replace(b"\n", b"") + b">")[:grammar.LONGEST]
    root, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with root, theirs, client, other:
        part = front.Front(Silent(), None, theirs, set(), Silent())
        connection = front.Connection(other)
        client.send(wire.question(7, 0, [address]))
        part._readable(connection)
        try:
            packet = root.recv(10_000, socket.MSG_DONTWAIT)
        except BlockingIOError:
            assert client.recv(100, socket.MSG_DONTWAIT) == b"7\0K"
            return
        number, size, local, domain = wire.read_order(packet)
        assert (number, size) == (1, 0) and local and b"@" not in domain
        if b"@" in address and b"%" not in address:
            assert local.endswith(address.rpartition(b"@")[0]) and domain == address.rpartition(b"@")[2]


def test_harvesting_ends(smtpd):
    """Nobody asks for more than control/maxunknown names in one connection, however they are sent."""
    connection = smtpd({"rcptcheck": "1\n", "maxunknown": "3\n"}, TCPREMOTEPORT="7")
    serve_unknown(connection._home)
    connection.says(b"220 mx.example ESMTP\r\n")
    connection.hears(b"MAIL FROM:<s@far.test>\r\n" + b"RCPT TO:<nobody@local.test>\r\n" * 500)
    connection.says(b"250 ok\r\n", *[b"550 sorry, no mailbox here by that name (#5.1.1)\r\n"] * 3,
                    b"421 sorry, too many unknown recipients (#4.7.1)\r\n")
    assert connection.process.wait(60) == 1


def serve_unknown(directory):
    """A process that answers "unknown" to every recipient, in place of the service."""
    os.makedirs(f"{directory}/{wire.DIRECTORY}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    back = os.getcwd()
    os.chdir(f"{directory}/{wire.DIRECTORY}")
    listener.bind("socket")
    os.chdir(back)
    listener.listen(10)
    listener.settimeout(60)
    if os.fork():
        listener.close()
        return
    try:
        sock, _ = listener.accept()
        number, _, addresses = wire.read_question(sock.recv(wire.PACKET))
        sock.send(wire.answer(number, [wire.UNKNOWN] * len(addresses)))
    finally:
        os._exit(0)


@pytest.mark.parametrize("answer", [b"U" * 5000, b"K\0U", b"K1\n", b"U ", b"\xff", b"K" + b"9" * 400])
def test_a_process_of_a_user_says_letters_or_nothing(answer):
    """What it may have been made to say is "cannot be told": no refusal for good, and one clean line in the log."""
    assert not wire.valid(answer)
    assert deciding.shown(answer).isascii() and b"\n" not in deciding.shown(answer)


@pytest.mark.parametrize("trap", ["fifo", "directory", "device", "loop", "huge"])
def test_traps_in_a_home_hang_and_kill_nobody(tmp_path, monkeypatch, trap):
    path = tmp_path / ".qmail-x"
    {"fifo": lambda: os.mkfifo(path), "directory": path.mkdir, "device": lambda: path.symlink_to("/dev/zero"),
     "loop": lambda: path.symlink_to(path), "huge": lambda: open(path, "wb").truncate(1 << 40)}[trap]()
    monkeypatch.chdir(tmp_path)
    os.chmod(tmp_path, 0o755)
    code, said, _ = look.look([os.fsencode(tmp_path), b"-", b"x", b"a.test", b"0"], None)
    assert code == 0 and said[:1] == (b"Z" if trap == "huge" else b"U") and len(said) <= 1 + look.TEXT


def test_an_extension_does_not_climb(tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "secret" / "x").write_text("./Maildir/\n")
    os.mkdir(tmp_path / "home" / ".qmail-")
    monkeypatch.chdir(tmp_path)
    for ext in (b"/../../secret/x", b"../../secret/x", b"/" + os.fsencode(tmp_path) + b"/secret/x"):
        assert look.look([os.fsencode(tmp_path / "home"), b"-", ext, b"a.test", b"0"], None)[1] == b"U"


def test_a_command_is_never_run(tmp_path, monkeypatch):
    """Not even one that looks like vdelivermail's."""
    mark = tmp_path / "was-here"
    (tmp_path / ".qmail-default").write_text(f"|touch {mark}; vdelivermail '' bounce-no-mailbox\n")
    monkeypatch.chdir(tmp_path)
    os.chmod(tmp_path, 0o755)
    said = look.look([os.fsencode(tmp_path), b"-", b"x", b"a.test", b"0"], None)[1]
    assert said == b"K" and not mark.exists()


@pytest.mark.parametrize("line", [
    b"", b"|", b"||", b" | | ", b"vdelivermail", b"|vdelivermail||", b"\0vdelivermail '' x"])
def test_odd_lines_are_somebodys(line):
    found = recipient.dotqmail.Instructions(b"|" + line + b"\n#vdelivermail\n")
    assert recipient.by_instructions(found, b"x", b"a.test") is recipient.KNOWN
