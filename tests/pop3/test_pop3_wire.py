"""Commands and message text of POP3, in any pieces."""
import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.pop3 import wire

COMMANDS = [
    (b"QUIT\r\n", [(b"quit", b"")]),
    (b"quit\n", [(b"quit", b"")]),
    (b"USER   joe bloggs \r\n", [(b"user", b"joe bloggs ")]),
    (b"uSeR Joe\r\n", [(b"user", b"Joe")]),
    (b"USER joe\0x\r\n", [(b"user", b"joe")]),
    (b"NO\0OP x\r\n", [(b"no", b"")]),
    (b"\r\n", [(b"", b"")]),
    (b"PASS a\rb\r\r\n", [(b"pass", b"a\rb\r")]),
    (b"PASS p\xe4ss\t1\r\n", [(b"pass", b"p\xe4ss\t1")]),
    (b"STAT\r\nNOOP\r\nQU", [(b"stat", b""), (b"noop", b"")]),
    (b"NOOP " + b"x" * 5000 + b"\r\nSTAT\r\n", [wire.TOO_LONG, (b"stat", b"")]),
    (b"x" * wire.LIMIT + b"\n", [(b"x" * wire.LIMIT, b"")]),
]


def read(pieces):
    reader, seen = wire.CommandReader(), []
    for piece in pieces:
        reader.feed(piece)
        seen += reader
    return seen


@pytest.mark.parametrize("data, expected", COMMANDS)
def test_commands(data, expected):
    assert read([data]) == expected
    assert read(data[n:n + 1] for n in range(len(data))) == expected


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\r\n", b"\n", b"y" * 4095, b" "]), max_size=12))
def test_pieces_do_not_matter(pieces):
    assert read(pieces) == read([b"".join(pieces)])


def test_an_endless_line_costs_no_memory():
    reader = wire.CommandReader()
    for _ in range(100):
        reader.feed(b"x" * 4000)
        assert list(reader) == []
        assert len(reader._buffer) <= wire.LIMIT + 4000
    reader.feed(b"\nNOOP\n")
    assert list(reader) == [wire.TOO_LONG, (b"noop", b"")]


def as_pop3(message, count=None):
    """What a client must get: the definition, line by line."""
    header, out = True, b""
    lines = message.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for line in lines:
        if not header and count is not None:
            if not count:
                break
            count -= 1
        header = header and line != b""
        out += (b"." if line.startswith(b".") else b"") + line + b"\r\n"
    return out + b"\r\n.\r\n"


def cut(message, sizes):
    while message:
        size = next(sizes, 1000)
        yield message[:size]
        message = message[size:]


TEXT = st.lists(st.sampled_from([b"\n", b"\n\n", b".", b"\r\n", b"a", b"word", b"\r", b"\0", b"\xff"]), max_size=30).map(b"".join)


@settings(max_examples=300)
@given(TEXT, st.none() | st.integers(0, 6), st.lists(st.integers(1, 5), max_size=40))
def test_text_in_any_blocks(message, count, sizes):
    blocks = cut(message, iter(sizes))
    sent = b"".join(wire.transparency(blocks if count is None else wire.top(blocks, count)))
    assert sent == as_pop3(message, count)


@settings(max_examples=100)
@given(TEXT)
def test_the_end_comes_once(message):
    assert b"".join(wire.transparency([message])).index(b"\r\n.\r\n") == len(b"".join(wire.transparency([message]))) - 5
