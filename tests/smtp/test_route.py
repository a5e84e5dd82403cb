"""Where mail goes, with a zone in place of the name servers."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyqmail.base.dns import NotFound
from pyqmail.base.errors import Temporary
from pyqmail.smtp import reports, route
from pyqmail.smtp.route import Connect, Lookup, Relay, Unreachable, literal, parse_relay, parse_route, relay_for, walk

OURS = frozenset((b"0.0.0.0", b"127.0.0.1", b"::", b"::1", b"192.0.2.99"))
SOFT, NONE = Temporary("silent"), NotFound("nothing")


def attempts(host, zone=(), relay=None):
    """([(address, port) in the order they are tried], the final report)."""
    zone, tried, steps = dict(zone), [], walk(host, relay, OURS)
    try:
        step = next(steps)
        while True:
            if isinstance(step, Connect):
                tried.append((step.address, step.port))
                step = steps.send(None)
            else:
                assert isinstance(step, Lookup)
                step = steps.send([zone.get(question, NONE) for question in step.questions])
    except Unreachable as why:
        return tried, why.report


A1, A2, A3, SELF = b"192.0.2.1", b"192.0.2.2", b"192.0.2.3", b"192.0.2.99"
MX = {(b"a", "A"): [A1], (b"b", "A"): [A2], (b"c", "A"): [A3], (b"me", "A"): [SELF]}
TABLE = [
    # zone                                                                 tried          last word
    ({(b"h", "A"): [A1, A2]}, [A1, A2], reports.NO_CONNECTION),
    ({(b"h", "A"): [A1], (b"h", "AAAA"): [b"2001:db8::1"]}, [A1, b"2001:db8::1"], reports.NO_CONNECTION),
    ({(b"h", "AAAA"): [b"2001:db8::1"]}, [b"2001:db8::1"], reports.NO_CONNECTION),
    ({(b"h", "A"): [A1], (b"h", "AAAA"): SOFT}, [A1], reports.NO_CONNECTION),
    ({(b"h", "AAAA"): SOFT}, [], reports.DNS_TROUBLE),
    ({}, [], reports.no_such_host(b"h")),
    ({(b"h", "A"): []}, [], reports.NO_EXCHANGER),
    ({(b"h", "MX"): SOFT, (b"h", "A"): [A1]}, [], reports.DNS_TROUBLE),
    ({(b"h", "MX"): [], (b"h", "A"): [A1]}, [A1], reports.NO_CONNECTION),
    ({(b"h", "MX"): [(30, b"c"), (10, b"a"), (20, b"b")], **MX}, [A1, A2, A3], reports.NO_CONNECTION),
    ({(b"h", "MX"): [(10, b"gone"), (20, b"b")], **MX}, [A2], reports.NO_CONNECTION),
    ({(b"h", "MX"): [(10, b"gone")]}, [], reports.NO_EXCHANGER),
    ({(b"h", "MX"): [(10, b"a")], (b"a", "A"): SOFT}, [], reports.DNS_TROUBLE),
    ({(b"h", "MX"): [(0, b"")], (b"h", "A"): [A1]}, [], reports.NO_EXCHANGER),
    ({(b"h", "MX"): [(0, b""), (10, b"a")], **MX}, [A1], reports.NO_CONNECTION),
    ({(b"h", "MX"): [(10, b"198.51.100.7")]}, [b"198.51.100.7"], reports.NO_CONNECTION),
    ({(b"h", "MX"): [(10, b"me"), (20, b"b")], **MX}, [], reports.BEST_PREFERENCE),
    ({(b"h", "MX"): [(10, b"a"), (20, b"me"), (20, b"c"), (30, b"b")], **MX}, [A1], reports.NO_CONNECTION),
    ({(b"h", "MX"): [(10, b"gone"), (20, b"me")], **MX, (b"gone", "A"): SOFT}, [], reports.DNS_TROUBLE),
]


@pytest.mark.parametrize("zone, tried, report", TABLE)
def test_walk(zone, tried, report):
    assert attempts(b"h", zone) == ([(address, 25) for address in tried], report)


def test_hosts_of_equal_preference_come_in_any_order():
    zone = {(b"h", "MX"): [(10, b"a"), (10, b"b"), (10, b"c")], **MX}
    orders = {tuple(address for address, _ in attempts(b"h", zone)[0]) for _ in range(200)}
    assert len(orders) == 6


def test_a_zone_of_any_size_costs_a_hundred_attempts():
    zone = {(b"h", "MX"): [(10, b"m%d" % n) for n in range(100)]}
    zone |= {(b"m%d" % n, "A"): [b"198.51.100.%d" % m for m in range(100)] for n in range(100)}
    assert len(attempts(b"h", zone)[0]) == route.ADDRESSES_MAX


@pytest.mark.parametrize("host, tried, report", [
    (b"[192.0.2.1]", [(A1, 25)], reports.NO_CONNECTION),
    (b"[192.0.2.99]", [], reports.BEST_PREFERENCE),
    (b"[192.0.2.1]x", [], reports.no_such_host(b"[192.0.2.1]x")),
])
def test_literals_are_used_as_they_are(host, tried, report):
    assert attempts(host) == (tried, report)


@pytest.mark.parametrize("relay, zone, tried, report", [
    (Relay(b"relay", 2525), {(b"relay", "A"): [A1], (b"relay", "MX"): [(1, b"x")]}, [(A1, 2525)],
     reports.NO_CONNECTION),
    (Relay(b"relay", 25), {}, [], reports.no_such_host(b"relay")),
    (Relay(b"relay", 25), {(b"relay", "A"): SOFT}, [], reports.DNS_TROUBLE),
    (Relay(b"[2001:db8::5]", 26), {}, [(b"2001:db8::5", 26)], reports.NO_CONNECTION),
    (Relay(b"127.0.0.1", 2500), {}, [(b"127.0.0.1", 2500)], reports.NO_CONNECTION),
])
def test_relays_are_followed_even_to_ourselves(relay, zone, tried, report):
    assert attempts(b"h", zone, relay) == (tried, report)


ROUTES = dict(map(parse_route, [b":any", b".test:test", b".far.test:", b"far.test:exact:26", b"[127.0.0.7]:seven",
                                b"[IPv6:2001:db8::1]:six:27"]))


@pytest.mark.parametrize("host, relay", [
    (b"FAR.test", Relay(b"exact", 26)), (b"a.test", Relay(b"test", 25)), (b"test", Relay(b"any", 25)),
    (b"a.b.far.test", None), (b"elsewhere", Relay(b"any", 25)), (b"", Relay(b"any", 25)),
    (b"[127.0.0.7]", Relay(b"seven", 25)), (b"[ipv6:2001:DB8::1]", Relay(b"six", 27)),
])
def test_relay_for(host, relay):
    assert relay_for(host, ROUTES) == relay


@pytest.mark.parametrize("value, relay", [
    (b"h", Relay(b"h", 25)), (b"h:2525", Relay(b"h", 2525)), (b"h:x", Relay(b"h", 25)), (b"h:26x", Relay(b"h", 26)),
    (b"[::1]:26", Relay(b"[::1]", 26)), (b"[::1]", Relay(b"[::1]", 25)), (b"[192.0.2.1]:26", Relay(b"[192.0.2.1]", 26)),
])
def test_parse_relay(value, relay):
    assert parse_relay(value) == relay


def test_a_port_that_is_none_is_the_administrators_mistake_not_the_senders():
    with pytest.raises(Temporary):
        parse_relay(b"h:70000")


@pytest.mark.parametrize("host, address", [
    (b"192.0.2.1", A1), (b"[192.0.2.1]", A1), (b"[192.0.2.001]", A1), (b"[IPv6:2001:DB8:0::1]", b"2001:db8::1"),
    (b"[ipv6:::ffff:192.0.2.1]", A1), (b"[192.0.2.256]", None), (b"[2001:db8::1]", None), (b"2001:db8::1", None),
    (b"[IPv6:192.0.2.1]", None), (b"[]", None), (b"", None), (b"[IPv6:fe80::1%lo]", None), (b"1.2.3", None),
])
def test_literal(host, address):
    assert literal(host) == address


@given(st.binary(max_size=40))
def test_any_host_gets_an_answer(host):
    assert attempts(host)[1].endswith(b"\n")
