import pytest
from hypothesis import assume, given, settings, strategies as st

from pyqmail.base import header
from pyqmail.base.header import HeaderTooLong, Message


def pieces(data, size):
    """A read function that gives `data` in pieces of `size` bytes."""
    parts = [data[at:at + size] for at in range(0, len(data), size)]
    return lambda: parts.pop(0) if parts else b""


def split(data, size=65536, **limits):
    message = Message(pieces(data, size), **limits)
    return list(message.fields()), b"".join(message.body())


@pytest.mark.parametrize("data, fields, body", [
    (b"", [], b""),
    (b"\n", [], b"\n"),
    (b"To: a\n\nx\n", [b"To: a\n"], b"\nx\n"),
    (b"To: a", [b"To: a\n"], b""),
    (b"To: a\n\nx", [b"To: a\n"], b"\nx\n"),
    (b"To: a\n b\n\tc\nCc: d\n", [b"To: a\n b\n\tc\n", b"Cc: d\n"], b""),
    (b"To: a\n \n", [b"To: a\n \n"], b""),
    (b"hello\nTo: a\n", [], b"\nhello\nTo: a\n"),
    (b"hello", [], b"\nhello\n"),
    (b" To: a\n", [], b"\n To: a\n"),
    (b"To: a\nhello\n\nx\n", [b"To: a\n"], b"\nhello\n\nx\n"),
    (b"From joe Thu\n a\nTo: b\n", [b"MBOX-Line: From joe Thu\n a\n", b"To: b\n"], b""),
    (b"To: a\r\n\r\nx\r\n", [b"To: a\r\n"], b"\n\r\nx\r\n"),
    (b"X\0: a\n", [], b"\nX\0: a\n"),
    (b"To : a\n", [b"To : a\n"], b""),
    (b"To: a\n\n\n\nx\n", [b"To: a\n"], b"\n\n\nx\n"),
])
@pytest.mark.parametrize("size", [1, 2, 7, 65536])
def test_splitting(data, fields, body, size):
    assert split(data, size) == (fields, body)


@given(st.binary(max_size=200) | st.lists(st.sampled_from(
    [b"To: a", b"\n", b"\n", b" ", b"\t", b"From ", b"x", b":", b"\0", b"\r"]), max_size=30).map(b"".join),
    st.integers(1, 50))
@settings(max_examples=300)
def test_nothing_is_lost_and_pieces_do_not_matter(data, size):
    assume(header.MBOX_LINE not in data)        # a field of that name is not told apart from a From_ line here
    fields, body = split(data, size)
    assert (fields, body) == split(data)
    head = b"".join(field.removeprefix(header.MBOX_LINE) for field in fields)
    complete = data + (b"\n" if data and not data.endswith(b"\n") else b"")
    assert head + body in (complete, head + b"\n" + complete[len(head):])
    assert all(header.name(field) for field in fields)


@pytest.mark.parametrize("field, name", [
    (b"To: x", b"to"), (b"TO:", b"to"), (b"To \t: x", b"to"), (b"X-%&'*/=?^`{|}~: y", b"x-%&'*/=?^`{|}~"),
    (b"To", b""), (b":", b""), (b" : a", b""), (b"T o: x", b""), (b"\xe9: x", b""), (b"a\x7f: x", b""), (b"", b""),
])
def test_name(field, name):
    assert header.name(field) == name


def test_contents():
    assert header.contents(b"Subject: \t\r\n one\n two\n") == b"one\n two\n"


def test_a_header_beyond_the_limit_is_refused():
    line = b"X: " + b"y" * 96 + b"\n"
    assert len(line) == 100 and len(split(line * 10, limit=1000)[0]) == 10
    for data in (line * 11, b"X: " + b"y" * 2000, line + b" " * 2000 + b"\n"):
        with pytest.raises(HeaderTooLong):
            split(data, 64, limit=1000)


def test_an_endless_line_that_is_no_field_is_body_and_not_kept():
    piece, count = b"x" * 65536, 2000
    left = [count]

    def read():
        left[0] -= 1
        return piece if left[0] >= 0 else b""
    message = Message(read)
    assert list(message.fields()) == []
    assert count - left[0] < 10
    assert sum(len(part) for part in message.body()) == count * len(piece) + 2


def test_the_end_of_the_input_is_read_once():
    parts = [b"To: a", b""]
    message = Message(lambda: parts.pop(0))
    assert list(message.fields()) == [b"To: a\n"]
    assert list(message.body()) == []
