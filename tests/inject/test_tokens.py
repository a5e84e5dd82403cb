import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.inject import tokens
from pyqmail.inject.tokens import ATOM, COMMENT, LITERAL, QUOTED, Unparsable

A, Q, L, C = (lambda text, kind=kind: (kind, text) for kind in (ATOM, QUOTED, LITERAL, COMMENT))
DOT, AT, COMMA, LEFT, RIGHT = ((mark, mark.encode()) for mark in ".@,<>")


@pytest.mark.parametrize("text, found", [
    (b"", []),
    (b" \t\r\n", []),
    (b"a.b@c", [A(b"a"), DOT, A(b"b"), AT, A(b"c")]),
    (b'"a b"@[1.2]', [Q(b"a b"), AT, L(b"1.2")]),
    (b'"a\\"b\\c"', [Q(b'a"bc')]),
    (b"(a (b) \\) c)", [C(b"a b ) c")]),
    (b"[a[b\\]]", [L(b"a[b]")]),
    (b"a(b)c", [A(b"a"), C(b"b"), A(b"c")]),
    (b"a\\ b\\", [A(b"a b")]),
    (b"\\", [A(b"")]),
    (b"a)]", [Q(b"a)]")]),
    (b"\xe9", [Q(b"\xe9")]),
    (b"a\\\\", [Q(b"a\\")]),
    (b"a\0b", [Q(b"a\0b")]),
    (b"<>,:;", [LEFT, RIGHT, COMMA, (":", b":"), (";", b";")]),
])
def test_read(text, found):
    assert tokens.read(text) == found


@pytest.mark.parametrize("text", [b"(", b"(a", b"((a)", b"(a\\)", b"(\\", b'"', b'"a', b'"a\\"', b"[", b"[a", b"[a\\]",
                                  b")", b"]", b"a ]", b"a,)"])
def test_unparsable(text):
    with pytest.raises(Unparsable):
        tokens.read(text)


@pytest.mark.parametrize("text, written", [
    (b"To:a@b,c", b"To: a@b, c\n"),
    (b"To:", b"To:\n"),
    (b"To: ,,", b"To: , ,\n"),
    (b"To: A B<c@d>(e)(f)g", b"To: A B <c@d>(e) (f) g\n"),
    (b"To: g:;", b"To: g: ;\n"),
    (b"To: j\xf6rg@h\\)", b'To: "j\xf6rg"@"h\\)"\n'),
    (b'To: "a\n b"@c', b'To: "a\\\n b"@c\n'),
    (b"To: [a\\]b]", b"To: [a\\]b]\n"),
    (b"To: " + b"a" * 74 + b",b", b"To: " + b"a" * 74 + b",\n  b\n"),
    (b"To: " + b"a" * 71 + b",b", b"To: " + b"a" * 71 + b", b\n"),
    (b"To: " + b"a" * 72 + b",b", b"To: " + b"a" * 72 + b",\n  b\n"),
    (b"To: " + b"a" * 80 + b",", b"To: " + b"a" * 80 + b",\n \n"),
])
def test_write(text, written):
    assert tokens.write(tokens.read(text)) == written


def test_plain_leaves_comments_and_quotes_out():
    assert tokens.plain(tokens.read(b'"a b" (x) . c @ [1.2] (y)')) == b"a b.c@[1.2]"


def test_read_strictly_says_which_line():
    with pytest.raises(Unparsable) as raised:
        tokens.read_strictly(b"To: (\n")
    assert raised.value.args == (b"unable to parse this line:\nTo: (\n",)


def well_formed(token):
    """An atom taken together with backslashes is written without them, and then is another one."""
    kind, text = token
    return kind != ATOM or (text and not set(text) & (tokens.ENDS_ATOM | set(b'"')))


BYTES = [bytes((byte,)) for byte in b'ab.,@<>:;()[]"\\ \t\r\n\0\xff+-']
ODD = st.lists(st.sampled_from(BYTES), max_size=40).map(b"".join)


@given(ODD | st.binary(max_size=60))
@settings(max_examples=500)
def test_what_is_written_reads_the_same(text):
    try:
        found = tokens.read(text)
    except Unparsable:
        return
    if all(map(well_formed, found)):
        assert tokens.read(tokens.write(found)) == found
        assert tokens.write(tokens.read(tokens.write(found))) == tokens.write(found)


@pytest.mark.parametrize("piece", [b"(", b"a,", b"\\", b'"', b"(a\\)", b"a" * 50 + b" "])
def test_a_long_field_takes_as_many_steps_as_bytes(piece):
    """Steps are counted, not timed: each function call and line is one."""
    import sys

    def steps(count):
        total = 0

        def trace(*_):
            nonlocal total
            total += 1
            return trace
        sys.settrace(trace)
        try:
            tokens.write(tokens.read(piece * count))
        except Unparsable:
            pass
        finally:
            sys.settrace(None)
        return total
    assert steps(4000) < 4.5 * steps(1000) + 100
