import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.inject import tokens
from pyqmail.inject.addresses import rewrite_list
from pyqmail.inject.tokens import Unparsable


def rewritten(text):
    """(the list with each address in braces, the addresses in the order they were seen)."""
    seen = []

    def rewrite(addr):
        seen.append(tokens.plain(addr))
        return [("atom", b"{"), *addr, ("atom", b"}")]
    found = rewrite_list(tokens.read(text), rewrite)
    return b"".join(b"(%b)" % word if kind == "comment" else word for kind, word in found), seen


@pytest.mark.parametrize("text, result, seen", [
    (b"", b"", []),
    (b"a@b, c", b"{a@b},{c}", [b"c", b"a@b"]),
    (b"a b", b"{a},{b}", [b"b", b"a"]),
    (b"A B <c@d> (x), e", b"AB<{c@d}>(x),{e}", [b"e", b"c@d"]),
    (b"<>", b"<{}>", [b""]),
    (b"<a, b@c>", b"<{a,b@c}>", [b"a,b@c"]),
    (b"<a> b", b"<{a}>,{b}", [b"b", b"a"]),
    (b"<a> <b>", b"<{a}><{b}>", [b"b", b"a"]),
    (b"g: a, b;, c", b"g:{a},{b};,{c}", [b"c", b"b", b"a"]),
    (b"x, g h: a; b", b"{x},gh:{a};,{b}", [b"b", b"a", b"x"]),
    (b"a;b", b"{a};,{b}", [b"b", b"a"]),
    (b"a(1)@(2)b(3)", b"{a@b}(1)(2)(3)", [b"a@b"]),
    (b"<a(1)@b>", b"<{a(1)@b}>", [b"a@b"]),
    (b",a,,b,", b",{a},,{b},", [b"b", b"a"]),
    (b"<<a>>", b"{<}<{a>}>", [b"a>", b"<"]),
])
def test_lists(text, result, seen):
    assert rewritten(text) == (result, seen)


@pytest.mark.parametrize("text, seen", [
    (b"a, g: b, c", [b"c", b"b"]),
    (b"@a:b@c", [b"b@c"]),
    (b"a@b>", [b"a@b"]),
    (b"g: a, h: b;, c;", [b"c"]),
    (b"a;b;", [b"b"]),
])
def test_unparsable_lists_tell_what_stood_to_the_right(text, seen):
    found = []
    with pytest.raises(Unparsable):
        rewrite_list(tokens.read(text), lambda addr: found.append(tokens.plain(addr)) or addr)
    assert found == seen


@given(st.lists(st.sampled_from([b"a", b"b ", b"@", b".", b",", b"<", b">", b":", b";", b"(c)", b"[]", b'"q"']),
                max_size=25))
@settings(max_examples=400)
def test_leaving_addresses_alone_only_adds_commas(words):
    before = tokens.read(b"".join(words))
    try:
        after = rewrite_list(before, list)
    except Unparsable:
        return
    strip = lambda found: sorted(token for token in found if token[0] != ",")
    assert strip(after) == strip(before)
    assert after.count(tokens.COMMA) >= before.count(tokens.COMMA)
