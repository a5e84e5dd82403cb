"""What a POP3 client says never becomes a path, and what lies in a Maildir leads nowhere else."""
import os
import socket

import pytest

from pyqmail.base import maildir
from pyqmail.pop3 import maildrop, serve, session, wire

TRICKS = [b"../../etc/passwd", b"/etc/passwd", b"1/../2", b"..", b"~root", b"new/1.a", b"%2e%2e", b"1\0/etc/passwd", b"-1",
          b"18446744073709551617", b"4294967297", "１".encode()]


@pytest.fixture
def box(tmp_path, monkeypatch):
    for part in ("tmp", "new", "cur"):
        (tmp_path / part).mkdir()
    (tmp_path / "secret").write_text("secret")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def age(path):
    os.utime(path, (1, 1), follow_symlinks=False)


@pytest.mark.parametrize("argument", TRICKS)
@pytest.mark.parametrize("keyword", [b"retr", b"top", b"dele", b"list", b"uidl"])
def test_arguments_are_numbers_only(box, keyword, argument):
    state = session.Transaction(maildrop.Maildrop(10))
    answer = b"".join(state.reply(wire.command(keyword + b" " + argument)))
    assert answer in (b"-ERR syntax error\r\n", b"-ERR not that many messages\r\n")
    assert not state.deleted


def test_a_pipe_in_a_maildir_stops_nobody(box):
    os.mkfifo("new/1.pipe")
    age("new/1.pipe")
    state = session.Transaction(maildrop.Maildrop(10))
    assert b"".join(state.reply((b"retr", b"1"))) == b"+OK \r\n\r\n.\r\n"


def test_deleting_a_symbolic_link_leaves_its_target(box):
    os.symlink("../secret", "new/1.link")
    os.utime("secret", (1, 1))
    drop = maildrop.Maildrop(10)
    assert drop.sizes == [6] and drop.update({0}) == 0
    assert (box / "secret").exists() and os.listdir("new") == []


def test_cleaning_stays_in_tmp(box):
    os.symlink("..", "tmp/up")
    (box / "tmp" / "dir").mkdir()
    for name in ("secret", "tmp/dir"):
        os.utime(name, (1, 1))
    maildir.clean(10 ** 9)
    assert (box / "secret").exists() and (box / "tmp" / "dir").is_dir()


def test_an_endless_session_line_is_not_kept():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"USER " + b"x" * 50_000 + b"\r\nUSER joe\r\nPASS y\r\n")
        client = serve.Client(theirs.fileno(), theirs.fileno())
        assert serve.authorize(client, b"<1@h>") == (b"joe", b"y")
        assert ours.recv(1000) == b"+OK <1@h>\r\n-ERR line too long\r\n+OK \r\n"


def test_nothing_is_read_beyond_the_login():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"USER joe\r\nPASS y\r\nSTAT\r\nQUIT\r\n")
        client = serve.Client(theirs.fileno(), theirs.fileno())
        assert serve.authorize(client, b"<1@h>") == (b"joe", b"y")
        assert theirs.recv(1000) == b"STAT\r\nQUIT\r\n"
