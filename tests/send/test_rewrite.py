"""Routing of recipients, prefixes of virtual domains, VERP."""
import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.base import control
from pyqmail.send.rewrite import LOCAL, REMOTE, Routing, verp, without_verp


def routing(*, locals_=(b"me.example",), percenthack=(), virtualdomains=(), envnoathost=b"me.example"):
    return Routing(control.fold(locals_), control.fold(percenthack), control.mapping(virtualdomains), envnoathost)


VIRTUAL = (b"v.example:virt", b".w.example:wild", b"deep.w.example:deep", b"joe@v.example:just-joe", b"out.v.example:",
           b"me.example:never", b"x@me.example:never", b"colon.example:a:b")
CATCHALL = (b":all", b"far.example:")

ROUTES = [
    # routing, recipient, channel, address
    (routing(), b"joe@me.example", LOCAL, b"joe@me.example"),
    (routing(), b"Joe@ME.Example", LOCAL, b"Joe@ME.Example"),
    (routing(), b"joe@sub.me.example", REMOTE, b"joe@sub.me.example"),
    (routing(), b"joe@me.example.", REMOTE, b"joe@me.example."),
    (routing(), b"joe", LOCAL, b"joe@me.example"),
    (routing(), b"", LOCAL, b"@me.example"),
    (routing(), b"x@", REMOTE, b"x@"),
    (routing(locals_=[b""]), b"x@", LOCAL, b"x@"),
    (routing(), b"a@b@me.example", LOCAL, b"a@b@me.example"),
    (routing(), b"joe%r.example@me.example", LOCAL, b"joe%r.example@me.example"),
    (routing(percenthack=[b"Me.Example"]), b"joe%r.example@ME.example", REMOTE, b"joe@r.example"),
    (routing(percenthack=[b"me.example", b"two"]), b"j%a%me.example%two@me.example", REMOTE, b"j@a"),
    (routing(percenthack=[b"me.example"]), b"joe@me.example", LOCAL, b"joe@me.example"),
    (routing(percenthack=[b"me.example"]), b"joe%r", REMOTE, b"joe@r"),
    (routing(percenthack=[b"b"]), b"x@y%c@b", REMOTE, b"x@y@c"),
    (routing(virtualdomains=VIRTUAL), b"Al@V.example", LOCAL, b"virt-Al@V.example"),
    (routing(virtualdomains=VIRTUAL), b"Joe@v.example", LOCAL, b"just-joe-Joe@v.example"),
    (routing(virtualdomains=VIRTUAL), b"joe@out.v.example", REMOTE, b"joe@out.v.example"),
    (routing(virtualdomains=VIRTUAL), b"joe@sub.v.example", REMOTE, b"joe@sub.v.example"),
    (routing(virtualdomains=VIRTUAL), b"joe@w.example", REMOTE, b"joe@w.example"),
    (routing(virtualdomains=VIRTUAL), b"joe@a.b.w.example", LOCAL, b"wild-joe@a.b.w.example"),
    (routing(virtualdomains=VIRTUAL), b"joe@deep.w.example", LOCAL, b"deep-joe@deep.w.example"),
    (routing(virtualdomains=VIRTUAL), b"x@me.example", LOCAL, b"x@me.example"),
    (routing(virtualdomains=VIRTUAL), b"j@colon.example", LOCAL, b"a:b-j@colon.example"),
    (routing(virtualdomains=CATCHALL), b"j@any.example", LOCAL, b"all-j@any.example"),
    (routing(virtualdomains=CATCHALL), b"j@far.example", REMOTE, b"j@far.example"),
    (routing(virtualdomains=(b"v:one", b"V:two")), b"j@v", LOCAL, b"two-j@v"),
    (routing(virtualdomains=(b"nothing",)), b"j@nothing", REMOTE, b"j@nothing"),
]


@pytest.mark.parametrize("rules, recipient, channel, address", ROUTES)
def test_route(rules, recipient, channel, address):
    assert rules.route(recipient) == (channel, address)


@pytest.mark.parametrize("address, shown", [
    (b"virt-al@v.example", b"al@v.example"),
    (b"just-joe-joe@v.example", b"just-joe-joe@v.example"),        # by domain only, and that one has another prefix
    (b"VIRT-al@v.example", b"VIRT-al@v.example"),
    (b"virtal@v.example", b"virtal@v.example"),
    (b"wild-joe@a.w.example", b"joe@a.w.example"),
    (b"joe@out.v.example", b"joe@out.v.example"),
    (b"virt-no-at", b"virt-no-at"),
])
def test_prefix_is_taken_off_for_people(address, shown):
    assert routing(virtualdomains=VIRTUAL).without_prefix(address) == shown


@settings(max_examples=150)
@given(st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"@")))
def test_every_recipient_has_a_route(recipient):
    channel, address = routing(virtualdomains=VIRTUAL + CATCHALL, percenthack=[b""]).route(recipient)
    assert channel in (LOCAL, REMOTE)
    assert b"@" in address


@pytest.mark.parametrize("sender, recipient, carried", [
    (b"list-@h.example-@[]", b"joe@me.example", b"list-joe=me.example@h.example"),
    (b"list-@h.example-@[]", b"a@b@me.example", b"list-a@b=me.example@h.example"),
    (b"a@list-@h-@[]", b"j@x", b"a@list-j=x@h"),
    (b"list-@h.example-@[]", b"joe", b"list-@h.example-@[]"),
    (b"-@[]", b"joe@x", b"-@[]"),
    (b"list-h-@[]", b"joe@x", b"list-h-@[]"),
    (b"@-@[]", b"joe@x", b"joe=x@"),
    (b"#@[]", b"joe@x", b"#@[]"),
    (b"", b"joe@x", b""),
    (b"list-@h.example", b"joe@x", b"list-@h.example"),
])
def test_verp(sender, recipient, carried):
    assert verp(sender, recipient) == carried


@pytest.mark.parametrize("sender, plain", [
    (b"list-@h.example-@[]", b"list-@h.example"), (b"-@[]", b""), (b"s@a.example", b"s@a.example"), (b"#@[]", b"#@[]")])
def test_without_verp(sender, plain):
    assert without_verp(sender) == plain
