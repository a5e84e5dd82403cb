import errno
import os

import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.base.errors import Temporary
from pyqmail.delivery import dotqmail
from pyqmail.delivery.deliver import Order


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.mark.parametrize("dash, ext, expected", [
    (b"", b"", [(b".qmail", None), (b".qmaildefault", b"")]),
    (b"-", b"", [(b".qmail-", None), (b".qmail-default", b"")]),
    (b"-", b"a", [(b".qmail-a", None), (b".qmail-default", b"a")]),
    (b"-", b"a-", [(b".qmail-a-", None), (b".qmail-a-default", b""), (b".qmail-default", b"a-")]),
    (b"-/", b"A-B.c", [(b".qmail-/a-b:c", None), (b".qmail-/a-default", b"B.c"), (b".qmail-/default", b"A-B.c")]),
    (b"-", b"--", [(b".qmail---", None), (b".qmail---default", b""), (b".qmail--default", b"-"),
                   (b".qmail-default", b"--")]),
    (b"-", b"x-DeFault", [(b".qmail-x-default", b"DeFault"), (b".qmail-x-default", b"DeFault"),
                          (b".qmail-default", b"x-DeFault")]),
    (b"-", b"mydefault", [(b".qmail-mydefault", b"default"), (b".qmail-default", b"mydefault")]),
])
def test_names_in_order(dash, ext, expected):
    assert list(dotqmail.names(dash, ext)) == expected


@given(st.binary(max_size=30))
@settings(max_examples=200)
def test_no_name_climbs_out(ext):
    for name, _ in dotqmail.names(b"-", ext):
        assert b"." not in name[1:] and name.startswith(b".qmail-")


def found(dash, ext, default_delivery=b"./Mailbox"):
    instructions = dotqmail.find(dash, ext, default_delivery)
    return instructions and (instructions.text, instructions.forward_only, instructions.default)


def test_first_usable_file_wins(home):
    (home / ".qmail-a-default").write_bytes(b"&x\n")
    (home / ".qmail-default").write_bytes(b"&y")
    assert found(b"-", b"A-b") == (b"&x\n", False, b"b")
    assert found(b"-", b"a") == (b"&y\n", False, b"a")
    (home / ".qmail-a").mkdir()
    os.mkfifo(home / ".qmail-b")
    (home / ".qmail-c").symlink_to("nowhere")
    (home / ".qmail-d").symlink_to(".qmail-d")
    for passed_over in (b"a", b"b", b"c", b"d", b"x" * 300):
        assert found(b"-", passed_over) == (b"&y\n", False, passed_over)


def test_nothing_found(home):
    assert found(b"-", b"a") is None
    assert found(b"", b"a") == (b"./Mailbox\n", False, None)
    assert found(b"", b"", b"") == (b"\n", False, None)


def test_an_empty_file_means_the_default_delivery(home):
    (home / ".qmail-a").write_bytes(b"")
    (home / ".qmail-a").chmod(0o700)
    assert found(b"-", b"a") == (b"./Mailbox\n", False, None)


@pytest.mark.parametrize("mode, forward_only", [(0o600, False), (0o700, True), (0o611, False), (0o660, False)])
def test_owner_x_bit(home, mode, forward_only):
    (home / ".qmail").write_bytes(b"&a\n")
    (home / ".qmail").chmod(mode)
    assert found(b"", b"")[1] is forward_only


@pytest.mark.parametrize("number, text", [
    (errno.EACCES, "access denied"), (errno.EPERM, "permission denied"), (errno.EIO, "input/output error"),
    (errno.EMFILE, "process cannot open more files"), (errno.ESTALE, "stale NFS file handle"),
])
def test_what_cannot_be_opened_now_is_not_missing(home, monkeypatch, number, text):
    (home / ".qmail-default").write_bytes(b"&wrong\n")
    real = os.open

    def failing(name, *rest, **more):
        if name == b".qmail-a":
            raise OSError(number, "")
        return real(name, *rest, **more)
    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(Temporary) as caught:
        found(b"-", b"a")
    assert str(caught.value) == f"Unable to open .qmail-a: {text}. (#4.3.0)"


def lines(text, forward_only=False):
    out = []
    try:
        for instruction in dotqmail.lines(text, forward_only):
            out.append(instruction)
    except Temporary as why:
        out.append(str(why))
    return out


BLANK = "Uh-oh: first line of .qmail file is blank. (#4.2.1)"
FILE = "Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)"
PROG = "Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)"


@pytest.mark.parametrize("text, expected", [
    (b"./a\n/b/\n|c d\n&e\nf\n",
     [(b"mbox", b"./a"), (b"maildir", b"/b/"), (b"program", b"c d"), (b"forward", b"e"), (b"forward", b"f")]),
    (b"# x\n\n \t\n./a \t\n", [(b"mbox", b"./a")]),
    (b"\n./a\n", [BLANK]),
    (b" \t\n", [BLANK]),
    (b"\0&a\n", [BLANK]),
    (b"#\n\0&a\n", []),
    (b" ./a\n", [(b"forward", b" ./a")]),
    (b"&\n&& x\n&   \n", [(b"forward", b""), (b"forward", b"& x"), (b"forward", b"")]),
    (b"|\n|  \n", [(b"program", b""), (b"program", b"")]),
    (b".\n/\n./a\0b/\n", [(b"mbox", b"."), (b"maildir", b"/"), (b"maildir", b"./a\0b/")]),
    (b"+\n+lists\n+LIST\n+list x\n./a\n", [(b"mbox", b"./a")]),
    (b"./a\n+list\n&b\n./c\n&d\n", [(b"mbox", b"./a"), (b"forward", b"b"), FILE]),
    (b"+list\0x\n|y\n", [PROG]),
    (b"a\r\n", [(b"forward", b"a\r")]),
])
def test_lines(text, expected):
    assert lines(text) == expected


def test_lines_of_an_executable_file():
    assert lines(b"# a\n&b\n./c\n", forward_only=True) == [(b"forward", b"b"), FILE]
    assert lines(b"|c\n", forward_only=True) == [PROG]


PIECES = st.sampled_from([b"\n", b" ", b"\t", b"\0", b"&", b"|", b"./a", b"/", b"#", b"+list", b"x"])


@given(st.lists(PIECES, max_size=15).map(b"".join), st.booleans())
@settings(max_examples=300)
def test_any_text_is_understood(text, forward_only):
    out = lines(dotqmail.end_line(text), forward_only)
    for instruction in out[:-1]:
        assert isinstance(instruction, tuple)
    for kind, argument in (i for i in out if isinstance(i, tuple)):
        assert b"\n" not in argument and not argument.endswith((b" ", b"\t"))
        assert not (forward_only and kind != b"forward")


def order(sender=b"sue@a", local=b"joe-LiSt.x", dash=b"-", ext=b"LiSt.x"):
    return Order(b"joe", b"/", local, dash, ext, b"Host", sender, b"", environ={})


def test_owner(home):
    assert dotqmail.new_sender(order()) == b"sue@a"
    (home / ".qmail-list:x-owner-default").write_bytes(b"")
    assert dotqmail.new_sender(order()) == b"sue@a"
    (home / ".qmail-list:x-owner").mkdir()
    assert dotqmail.new_sender(order()) == b"joe-LiSt.x-owner-@Host-@[]"
    (home / ".qmail-list:x-owner-default").unlink()
    assert dotqmail.new_sender(order()) == b"joe-LiSt.x-owner@Host"
    for bounce in (b"", b"#@[]"):
        assert dotqmail.new_sender(order(sender=bounce)) == bounce


def test_owner_that_cannot_be_seen_now(home, monkeypatch):
    monkeypatch.setattr(os, "stat", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "")))
    with pytest.raises(Temporary, match=r"^Unable to open \.qmail-list:x-owner: input/output error\. \(#4\.3\.0\)$"):
        dotqmail.new_sender(order())


def test_home(home):
    dotqmail.check_home()
    home.chmod(0o1700)
    with pytest.raises(Temporary, match="sticky"):
        dotqmail.check_home()
    said = []
    dotqmail.check_home(said.append)
    assert said == ["Warning: home directory is sticky."]
    home.chmod(0o1702)
    with pytest.raises(Temporary, match="home directory is writable"):
        dotqmail.check_home(said.append)
