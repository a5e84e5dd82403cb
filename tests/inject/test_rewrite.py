import pytest

from pyqmail.inject import tokens
from pyqmail.inject.rewrite import Completer
from pyqmail.inject.tokens import Unparsable

COMPLETER = Completer(b"dh.example", b"dd.example", b"pd.example")


@pytest.mark.parametrize("before, after", [
    (b"", b""),
    (b"fred", b"fred@dh.example"),
    (b"fred@host", b"fred@host.dd.example"),
    (b"fred@host.", b"fred@host.dd.example"),
    (b"fred@", b"fred@dh.example"),
    (b"fred.", b"fred@dh.example"),
    (b"fred@host+", b"fred@host.pd.example"),
    (b"fred@a.b+", b"fred@a.b.pd.example"),
    (b"fred@host+.", b"fred@host.pd.example"),
    (b"fred@+", b"fred@.pd.example"),
    (b"fred@a+b", b"fred@a+b.dd.example"),
    (b"fred+", b"fred+@dh.example"),
    (b"fred@a.b", b"fred@a.b"),
    (b"a.b@c", b"a.b@c.dd.example"),
    (b"fred@[1.2.3.4]", b"fred@[1.2.3.4]"),
    (b"fred@[]", b"fred@[]"),
    (b"#@[]", b"#@[]"),
    (b"[a]", b"[a]@dh.example"),
    (b"@a,@b:fred@c", b"fred@c.dd.example"),
    (b"@a:", b""),
    (b"@a", b""),
    (b"@", b""),
    (b".", b""),
    (b".@", b".@dh.example"),
    (b"a:b", b"a:b@dh.example"),
    (b'fred@"h+"', b"fred@h+.dd.example"),
])
def test_complete(before, after):
    assert tokens.plain(COMPLETER.complete(tokens.read(before))) == after


def test_a_plus_domain_without_a_dot_in_its_host_is_completed_further():
    odd = Completer(b"dh", b"dd.example", b"p@q")
    assert odd.complete_argument(b"u@h+") == b"u@h.p@q.dd.example"
    assert odd.complete_argument(b"u") == b"u@dh.dd.example"


@pytest.mark.parametrize("before, after", [
    (b"", b""),
    (b"a b@c.d", b"a b@c.d"),
    (b"@a:b@c", b"@a:b@c.dd.example"),
    (b"<a>", b"<a>@dh.example"),
    (b"a@b@c", b"a@b@c.dd.example"),
    (b"u@h)", b"u@h).dd.example"),
])
def test_arguments_are_boxes_up_to_the_last_at(before, after):
    assert COMPLETER.complete_argument(before) == after


def test_unparsable():
    with pytest.raises(Unparsable) as raised:
        COMPLETER.complete_argument(b"u@(")
    assert raised.value.args == (b"unable to parse this line:\nu@(",)
    with pytest.raises(Unparsable) as raised:
        Completer(b"dh", b"dd(", b"pd")
    assert raised.value.args == (b"unable to parse this line:\n.dd(",)
