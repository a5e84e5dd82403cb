import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.delivery import loop

LINE = b"Delivered-To: joe@h\n"


@pytest.mark.parametrize("message, looping", [
    (LINE, True),
    (b"", False),
    (b"\n" + LINE, False),
    (b"a\n" + LINE + b"\n", True),
    (b"a\n\n" + LINE, False),
    (b"a\n\r\n" + LINE, True),
    (LINE[:-1], False),
    (b"x" + LINE, False),
    (LINE[:-1] + b" \n", False),
    (LINE.lower(), False),
    (b"\0\n" + LINE, True),
])
def test_where_it_counts(message, looping):
    assert loop.has_line(LINE, [message]) is looping
    assert loop.has_line(LINE, [message[at:at + 1] for at in range(len(message))]) is looping


def model(line, message):
    for one in message.split(b"\n")[:-1]:
        if not one:
            return False
        if one + b"\n" == line:
            return True
    return False


TEXT = st.lists(st.sampled_from([LINE, b"Delivered-To: ", b"joe@h", b"\n", b"x", b"\r\n"]), max_size=12).map(b"".join)


@given(TEXT, st.lists(st.integers(0, 100), max_size=6))
@settings(max_examples=300)
def test_pieces_make_no_difference(message, cuts):
    cuts = sorted(cut for cut in cuts if cut <= len(message))
    pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)])]
    assert loop.has_line(LINE, pieces) is model(LINE, message)


def test_the_body_is_not_read():
    def pieces():
        yield b"a\n\nbody"
        raise AssertionError("read on")
    assert not loop.has_line(LINE, pieces())
