"""What reads a client's bytes, against slow and obvious readers, in pieces of any size."""
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyqmail.smtp import commands, data, grammar


def cut(whole, places):
    """`whole` in pieces, cut at these places."""
    marks = sorted({place % (len(whole) + 1) for place in places} | {0, len(whole)})
    return [whole[a:b] for a, b in zip(marks, marks[1:])]


PLACES = st.lists(st.integers(0, 10_000), max_size=8)


# the text after DATA

def slow_data(wire):
    """(text, rest, hops) of a text that ends, "stray" for a bare CR or LF in it, None if it does not end."""
    text, hops, header, at = b"", 0, True, 0
    while True:
        end = wire.find(b"\n", at)
        line = wire[at:] if end < 0 else wire[at:end + 1]
        body = line[:-2] if line.endswith(b"\r\n") else line
        if end < 0:                 # the last, unfinished line: only a final CR may still become a CRLF
            return "stray" if b"\r" in line[:-1] else None
        if b"\r" in body or b"\n" in body:
            return "stray"
        if line == b".\r\n":
            return text, wire[end + 1:], hops
        header = header and body != b""
        hops += header and body.lower().startswith((b"received", b"delivered"))
        text += (body[1:] if body.startswith(b".") else body) + b"\n"
        at = end + 1


def fast_data(pieces):
    reader, text = data.DataReader(), b""
    for piece in pieces:
        reader.feed(piece)
        try:
            while not reader.over and (some := reader.next_text()):
                text += some
        except data.StrayNewline:
            return "stray"
    return (text, reader.take_rest(), reader.hops.count) if reader.over else None


WIRE = st.lists(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b".", b"..", b"\r", b"\n", b"a", b"Received: x",
    b"dElivereD",
                                 b"receive", b"\r\n.\r\n", b"\0", b"\xff", b"x" * 20]), max_size=30).map(b"".join)


@settings(max_examples=400)
@given(WIRE, PLACES)
@example(b"received\r\n\r\nreceived\r\n.\r\nNOOP\r\n", [4, 9, 10, 11])
@example(b"\r\nreceived\r\n.\r\n", [1])
@example(b".\r", [1])
def test_data(wire, places):
    assert fast_data(cut(wire, places)) == slow_data(wire)


@settings(max_examples=100)
@given(WIRE)
def test_data_bytewise(wire):
    assert fast_data([wire[n:n + 1] for n in range(len(wire))]) == slow_data(wire)


def test_data_reader_holds_little():
    reader = data.DataReader()
    for _ in range(100):
        reader.feed(b"x" * 65_536)
        reader.next_text()
        assert len(reader._held) <= 4 and len(reader.hops._start) < 16


# command lines

def slow_commands(wire):
    found = []
    for line in wire.split(b"\n")[:-1]:
        line = line.removesuffix(b"\r")
        verb, _, argument = line.split(b"\0")[0].partition(b" ")
        found.append((verb.lower(), None if len(line) > commands.LIMIT else argument.lstrip(b" ")))
    return found


def fast_commands(pieces):
    reader, found = commands.CommandReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (command := reader.next_command()) is not None:
            found.append(command)
    return found


COMMANDS = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b"\0", b"MAIL", b"x", b"y" * 4090, b"zz" * 5000]),
                    max_size=25).map(b"".join)


@settings(max_examples=300)
@given(COMMANDS, PLACES)
@example(b"NOOP " + b"x" * (commands.LIMIT - 5) + b"\r\n", [])
@example(b"NOOP " + b"x" * (commands.LIMIT - 4) + b"\r\n", [commands.LIMIT + 1])
def test_commands(wire, places):
    def comparable(found):          # of a verb beyond the limit only the start is kept
        return [(verb[:commands.LIMIT - 2], argument) for verb, argument in found]
    assert comparable(fast_commands(cut(wire, places))) == comparable(slow_commands(wire))


def test_an_endless_line_is_not_kept():
    reader = commands.CommandReader()
    for _ in range(100):
        reader.feed(b"x" * 65_536)
        assert reader.next_command() is None
        assert len(reader._buffer) + len(reader._cut) <= commands.LIMIT
    reader.feed(b"\nNOOP\n")
    assert reader.next_command()[1] is None and reader.next_command() == (b"noop", b"")


@pytest.mark.parametrize("line, command", [
    (b"NOOP", (b"noop", b"")), (b"NOOP  x y ", (b"noop", b"x y ")), (b" NOOP", (b"", b"NOOP")), (b"", (b"", b"")),
    (b"MAIL\tFROM:<a>", (b"mail\tfrom:<a>", b"")), (b"NO\0OP", (b"no", b"")), (b"RCPT TO:<a\0b>", (b"rcpt", b"TO:<a")),
])
def test_split(line, command):
    assert commands.split(line) == command


# addresses

@pytest.mark.parametrize("argument, address", [
    (b"FROM:<a@b>", b"a@b"), (b"FROM: <a@b> SIZE=1", b"a@b"), (b"FROM:a@b SIZE=1", b"a@b"), (b"FROM:   a@b", b"a@b"),
    (b"<a@b>", b"a@b"), (b"a@b", b""), (b"FROM", b""), (b"", b""), (b"FROM:<", b""), (b"FROM:<>", b""),
    (b"FROM:<@x,@y:a@b>", b"a@b"), (b"FROM:<@x>", b""), (b"FROM:@x:a@b", b"a@b"), (b"FROM:<@a:@b:c@d>", b"@b:c@d"),
    (b'FROM:<"a b"@c>', b"a b@c"), (b'FROM:<"a>b"@c>', b"a>b@c"), (b"FROM:<a\\>b@c>", b"a>b@c"), (b'FROM:<"a\\"b"@c>',
    b'a"b@c'),
    (b'FROM:"a b"@c d', b"a b@c"), (b"FROM:<a@b", b"a@b"), (b"FROM:<a@b\\", b"a@b"), (b"FROM:<<a@b>>", b"<a@b"),
])
def test_address(argument, address):
    assert grammar.address(argument) == address


@settings(max_examples=200)
@given(st.lists(st.sampled_from([b"a", b"@", b"<", b">", b" ", b":", b'"', b"\\", b"b.c"]), max_size=15).map(b"".join))
def test_unquoting_plain_text_changes_nothing(text):
    shown = grammar.address(b"TO:<x" + b"".join(b"\\" + bytes((byte,)) for byte in text) + b">")
    assert shown == b"x" + text


@settings(max_examples=200)
@given(st.binary(max_size=40))
def test_address_is_total(argument):
    assert len(grammar.address(argument)) <= len(argument)


@pytest.mark.parametrize("address, text", [
    (b"a@[1.2.3.4]", b"1.2.3.4"), (b"a@b@[x]", b"x"), (b"a@[1.2.3.4", None), (b"a@[1.2.3.4]x", None), (b"[1.2.3.4]",
    None)])
def test_literal(address, text):
    assert grammar.literal(address) == text
