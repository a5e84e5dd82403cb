"""Messages on their way out: whatever is in the queue, only strict, dot-stuffed CRLF lines leave."""
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyqmail.smtp.data_writer import END, DataWriter, PartialLine


def sent(*blocks):
    writer = DataWriter()
    return b"".join(writer.feed(block) for block in blocks) + writer.finish()


TABLE = [
    # message                     wire, without the final dot
    (b"", b""),
    (b"a\n", b"a\r\n"),
    (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
    (b".\n..\n.x\na.\n\n.end\n", b"..\r\n...\r\n..x\r\na.\r\n\r\n..end\r\n"),
    (b"a\rb\n\rc\n", b"a\r\nb\r\n\r\nc\r\n"),
    (b"d\r\r\ne\n", b"d\r\n\r\ne\r\n"),
    (b"abc\r", b"abc\r\n"),
    (b"x\r.\ny\n", b"x\r\n..\r\ny\r\n"),
    (b"x\r.\r\ny\n", b"x\r\n..\r\ny\r\n"),
    (b"\0\x80\xff\n", b"\0\x80\xff\r\n"),
]


@pytest.mark.parametrize("message, wire", TABLE)
def test_whole_and_bytewise(message, wire):
    assert sent(message) == wire + END
    assert sent(*(message[at:at + 1] for at in range(len(message)))) == wire + END


@pytest.mark.parametrize("message", [b"a", b"a\nb", b"a\r\n.", b"\r\nx"])
def test_a_partial_last_line_is_refused(message):
    with pytest.raises(PartialLine):
        sent(message)


PIECES = [b"\r", b"\n", b".", b"\r\n", b"a", b"\xe9", b"\0", b"\r\n.\r\n"]
FRAGMENTS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=30)


@settings(max_examples=300)
@given(FRAGMENTS)
def test_any_bytes_become_strict_lines(blocks):
    message = b"".join(blocks)
    lines = re.split(rb"\r\n|\r|\n", message)           # what a reader of the message sees
    if lines[-1]:
        with pytest.raises(PartialLine):
            sent(*blocks)
        return
    wire = sent(*blocks)
    assert wire == sent(message)                        # wherever blocks are cut
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")
    *arrived, dot, nothing = wire.split(b"\r\n")
    assert (dot, nothing) == (b".", b"")
    assert b"." not in arrived                          # nothing before the end reads as the end
    assert [line[1:] if line.startswith(b".") else line for line in arrived] == lines[:-1]
