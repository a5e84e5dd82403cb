"""Netstrings as they come: lengths that lie, pieces of any size."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyqmail.qmtp import wire


def drive(reader, steps, pieces):
    """The result of a generator that is fed the pieces one by one when it needs them."""
    pieces = list(pieces)
    try:
        while True:
            assert next(steps) is wire.NEED_DATA
            reader.feed(pieces.pop(0))
    except StopIteration as done:
        return done.value


def length(text, left=None, pieces=None):
    reader = wire.Input(left)
    return drive(reader, reader.length(), pieces or [text])


@pytest.mark.parametrize("text, number", [
    (b"0:", 0), (b":", 0), (b"12:", 12), (b"007:", 7), (b"0" * 900 + b"5:", 5), (b"999999999:", 999_999_999),
    (b"200000001:", 200_000_001)])
def test_length(text, number):
    assert length(text) == number
    assert length(text, pieces=[text[n:n + 1] for n in range(len(text))]) == number


@pytest.mark.parametrize("text, error", [
    (b"x", wire.BadSyntax), (b"1x", wire.BadSyntax), (b"-1:", wire.BadSyntax), (b"1 :", wire.BadSyntax),
    (b"1\xb2:", wire.BadSyntax), (b"1000000000:", wire.TooLong), (b"2000000000:", wire.TooLong),
    (b"200000001x", wire.TooLong), (b"0" * 2000, wire.TooLong)])
def test_bad_length(text, error):
    with pytest.raises(error):
        length(text)


def test_nothing_beyond_what_is_left():
    assert length(b"12:", left=3) == 12
    with pytest.raises(wire.BadSyntax):
        length(b"12:", left=2)
    reader = wire.Input(4)
    reader.feed(b"abcdef")
    assert reader.some(3) == b"abc" and reader.some(3) == b"d"
    with pytest.raises(wire.BadSyntax):
        reader.some(1)


@settings(max_examples=100)
@given(st.binary(max_size=50), st.lists(st.integers(1, 7), min_size=1))
def test_netstring_comes_back(data, sizes):
    text, pieces = wire.netstring(data), []
    while text:
        for size in sizes:
            pieces.append(text[:size])
            text = text[size:]
    reader = wire.Input()

    def whole():
        count = yield from reader.length()
        found = yield from reader.take(count)
        yield from reader.comma()
        return found
    assert drive(reader, whole(), [b"", *pieces]) == data


def test_skipping_keeps_nothing():
    reader = wire.Input()
    assert drive(reader, reader.skip(10), [b"12345", b"67890abc"]) is None
    assert reader.some(9) == b"abc"
