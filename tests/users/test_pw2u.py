"""qmail-pw2u's lines, and that qmail-newu takes all of them."""
import os

import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.base.errors import Temporary
from pyqmail.programs import qmail_pw2u as pw2u
from pyqmail.users import assign


class Printed:
    def __init__(self):
        self.text = b""

    def put(self, data):
        self.text += data


def maker(*options, include=None, exclude=None, mailnames=None):
    return pw2u.Maker(pw2u.parse([b"-H", *options]), Printed(), include, exclude, mailnames)


JOE = b"joe:x:501:100:Joe:/home/joe:/bin/sh\n"
TABLE = [
    ([], JOE, b"=joe:joe:501:100:/home/joe:::\n+joe-:joe:501:100:/home/joe:-::\n"),
    ([b"-c+x"], JOE, b"=joe:joe:501:100:/home/joe:::\n+joe+:joe:501:100:/home/joe:-::\n"),
    ([b"-c", b""], JOE, b"=joe:joe:501:100:/home/joe:::\n"),
    ([b"-C/"], JOE, b"=joe:joe:501:100:/home/joe:::\n"),
    ([], b"alias:x:1:2::/a:\n", b"+:alias:1:2:/a:-::\n=alias:alias:1:2:/a:::\n+alias-:alias:1:2:/a:-::\n"),
    ([], b"root:x:0:0::/:\n", b""), ([], b"Joe:x:1:0::/:\n", b""), ([], b"joe:x:1:0::/\n", b""),
    ([], b"j\0:x:1:0::/:\n", b""),
]


@pytest.mark.parametrize("options, line, printed", TABLE)
def test_account(options, line, printed):
    made = maker(*options)
    made.account(line)
    assert made.output.text == printed


def test_the_last_of_equal_entries_counts():
    made = maker(mailnames=[b"joe:one", b"JOE:two"])
    made.account(JOE)
    made.account(b"joe:x:502:100:Joe:/home/joe2:/bin/sh\n")
    made.output.text = b""
    made.subuser(b"info:Joe:web:\n")
    assert made.output.text == b"=info:joe:502:100:/home/joe2:-:web:\n+info-:joe:502:100:/home/joe2:-:web-:\n"


def test_home(tmp_path):
    tested = maker(b"-o")
    assert not tested.owns(bytes(tmp_path / "none"), 1)
    assert tested.owns(bytes(tmp_path), tmp_path.stat().st_uid) and not tested.owns(bytes(tmp_path), 64999)
    with pytest.raises(Temporary, match="unable to stat .*none"):
        maker(b"-h").owns(bytes(tmp_path / "none"), 1)


text = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\n:"), max_size=6)
passwd_line = st.lists(st.one_of(text, st.integers(0, 9).map(str)), min_size=5, max_size=9).map(
    lambda fields: ":".join(fields).encode("latin-1") + b"\n")


@settings(max_examples=100)
@given(st.lists(passwd_line, max_size=6), st.lists(st.tuples(text, text), max_size=3))
def test_newu_takes_what_pw2u_makes(lines, subusers):
    made = maker(b"-u")
    for line in (JOE, *lines):
        made.account(line)
    for sub, prefix in subusers:
        made.subuser(f"{sub}:joe:{prefix}:\n".encode("latin-1"))
    assert len(assign.records(made.output.text + b".\n")) == made.output.text.count(b"\n") + 1


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_lines_are_whole_whatever_the_reads(pieces):
    reader, writer = os.pipe()
    os.write(writer, b"".join(pieces))
    os.close(writer)
    found = list(pw2u.lines(reader))
    os.close(reader)
    assert b"".join(found) == b"".join(pieces)
    assert all(line.find(b"\n") in (-1, len(line) - 1) for line in found)
    assert all(line.endswith(b"\n") for line in found[:-1])
