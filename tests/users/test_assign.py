"""users/assign: lines and the records made from them."""
import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.users import assign, lookup

TABLE = [
    (b".", [(b"", b"")]),
    (b"=Joe:Joe:1:2:/H:-:Ext:rest\n.\nrubbish", [(b"!joe\0", b"Joe\x001\x002\x00/H\0-\0Ext"), (b"", b"")]),
    (b"+joe-:j:1:2:/h:-::\n+b+:j:1:2:/h:::\n+c-:j:1:2:/h:::\n+:a:1:2:/a:-::\n.\n",
     [(b"!joe-", b"j\x001\x002\x00/h\0-\0"), (b"!b+", b"j\x001\x002\x00/h\0\0"), (b"!c-", b"j\x001\x002\x00/h\0\0"),
      (b"!", b"a\x001\x002\x00/a\0-\0"), (b"", b"-+")]),
    (b"+JoeX:j:1:2:/h:::\n.\n", [(b"!joex", b"j\x001\x002\x00/h\0\0"), (b"", b"X")]),
    (b"#c:::::::\n.\n", [(b"!c\0", b"\0\0\0\0\0"), (b"", b"")]),
]


@pytest.mark.parametrize("text, records", TABLE)
def test_records(text, records):
    assert assign.records(text) == records


@pytest.mark.parametrize("text", [b"", b"\n.\n", b"=a:b:1:2:/:::\n", b"=a:b:1:2:/::: ", b"=a:b:1:2:/::\n.\n",
                                  b":a:b:1:2:/:::\n.\n", b"=a:b\0:1:2:/:::\n.\n", b"# comment\n.\n"])
def test_bad_format(text):
    with pytest.raises(assign.BadFormat, match="bad format in users/assign"):
        assign.records(text)


word = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\n:"), max_size=8).map(
    lambda text: text.encode("latin-1"))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([b"=", b"+"]), word, st.tuples(*[word] * 6)), max_size=6))
def test_every_assignment_is_found_again(lines):
    text = b"".join(kind + address + b":" + b":".join(fields) + b":\n" for kind, address, fields in lines)
    database = {}
    for key, data in assign.records(text + b".\n"):
        database.setdefault(key, data)
    for kind, address, _ in lines:
        if kind == b"=":
            first = next(fields for k, a, fields in lines if k == b"=" and a.lower() == address.lower())
            assert lookup.find(database, address) == b"\0".join(first) + b"\0"


@given(st.binary(max_size=120))
def test_garbage_is_refused_or_understood(text):
    try:
        assert assign.records(text)[-1][0] == b""
    except assign.BadFormat:
        pass
