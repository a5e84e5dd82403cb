"""Checklist 19: a stranger's DNS, or an address literal, must not make us deliver to ourselves."""
import pytest

from pyqmail.base import control, ipme
from pyqmail.smtp import reports
from pyqmail.smtp.route import Connect, Unreachable, literal, walk

LITERALS = [b"[127.0.0.1]", b"127.0.0.1", b"[127.0.0.01]", b"[0.0.0.0]", b"0.0.0.0", b"[IPv6:::1]", b"[IPv6:::]",
            b"[IPv6:::ffff:127.0.0.1]", b"[ipv6:0:0:0:0:0:ffff:7f00:1]", b"[IPv6:::ffff:0:0]", b"[198.51.100.9]"]


@pytest.fixture
def ours(monkeypatch):
    monkeypatch.setattr(control, "lines", {"moreipme": [b"198.51.100.9"]}.get)
    return ipme.addresses()


def last_word(host, ours, zone=None):
    steps = walk(host, None, ours)
    try:
        step = next(steps)
        while not isinstance(step, Connect):
            step = steps.send([zone.get(question, []) for question in step.questions])
        return step
    except Unreachable as why:
        return why.report


@pytest.mark.parametrize("host", LITERALS)
def test_literals(ours, host):
    assert last_word(host, ours) == reports.BEST_PREFERENCE


@pytest.mark.parametrize("host", LITERALS)
def test_mx_and_address_records(ours, host):
    address = literal(host)
    zone = {(b"h", "MX"): [(10, b"m")], (b"m", "A" if b"." in address else "AAAA"): [address]}
    assert last_word(b"h", ours, zone) == reports.BEST_PREFERENCE
    zone = {(b"m", kind): records for (_, kind), records in zone.items() if kind != "MX"}
    assert last_word(b"m", ours, zone) == reports.BEST_PREFERENCE
    assert last_word(b"h", ours, {(b"h", "MX"): [(10, address)]}) == reports.BEST_PREFERENCE


def test_one_of_our_addresses_among_others_is_enough(ours):
    """We are one of the best exchangers: a neighbour of the same preference would only send it back."""
    zone = {(b"h", "MX"): [(10, b"a"), (10, b"b")], (b"a", "A"): [b"192.0.2.1"], (b"b", "A"): [b"198.51.100.9"]}
    assert last_word(b"h", ours, zone) == reports.BEST_PREFERENCE
