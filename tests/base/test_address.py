import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.base import address


@pytest.mark.parametrize("plain, quoted", [
    (b"", b""),
    (b"sue@a.example", b"sue@a.example"),
    (b"sue", b"sue"),
    (b"@host", b'""@host'),
    (b"a b@c", b'"a b"@c'),
    (b"a b", b'"a b"'),
    (b".a@c", b'".a"@c'),
    (b"a.@c", b'"a."@c'),
    (b"a..b@c", b'"a..b"@c'),
    (b"a.b@c", b"a.b@c"),
    (b"a@b@c d", b'"a@b"@c d'),
    (b'a"b\\c@d', b'"a\\"b\\\\c"@d'),
    (b"a\nb\rc@d", b'"a\\\nb\\\rc"@d'),
    (b"\xe9@d", b'"\xe9"@d'),
    (b"a\0b@d", b'"a\0b"@d'),
    (b"!#$%&'*+-/=?^_`{|}~9Zz@d", b"!#$%&'*+-/=?^_`{|}~9Zz@d"),
    (b"#@[]", b"#@[]"),
])
def test_quote(plain, quoted):
    assert address.quote(plain) == quoted


def unquote(quoted):
    if not quoted.startswith(b'"'):
        return quoted
    out, escaped = bytearray(), False
    for byte in quoted[1:-1]:
        if not escaped and byte == 0x5c:
            escaped = True
        else:
            assert escaped or byte != 0x22
            out.append(byte)
            escaped = False
    assert not escaped
    return bytes(out)


@given(st.binary(max_size=30))
@settings(max_examples=200)
def test_quoting_loses_nothing(box):
    assert unquote(address.quote_box(box)) == box


@pytest.mark.parametrize("whole, parts", [
    (b"a@b", (b"a", b"b")), (b"a@b@c", (b"a@b", b"c")), (b"a", (b"a", None)), (b"@", (b"", b"")), (b"", (b"", None)),
])
def test_split(whole, parts):
    assert address.split(whole) == parts
