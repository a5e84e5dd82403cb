"""Addresses, and which of them are this machine."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyqmail.base import control, ipme


@pytest.mark.parametrize("text, address", [
    (b"192.0.2.1", b"192.0.2.1"), (b"192.0.2.01", b"192.0.2.1"), (b"1.2.3.256", None), (b"1.2.3", None),
    (b"1.2.3.4.", None), (b"1.2.3.0x4", None), (b"", None), (b"2001:DB8:0:0::1", b"2001:db8::1"),
    (b"::ffff:192.0.2.1", b"192.0.2.1"), (b"::1%lo", None), (b"1.2.3.\xb2", None), (b"\xff", None),
])
def test_parse(text, address):
    assert ipme.parse(text) == address


@given(st.binary(min_size=16, max_size=16) | st.binary(min_size=4, max_size=4))
def test_every_address_reads_as_itself(packed):
    text = ipme.from_packed(packed)
    assert ipme.parse(text) == text


def test_loopback_and_the_unspecified_addresses_are_ours():
    assert {b"127.0.0.1", b"::1", b"0.0.0.0", b"::"} <= ipme.addresses()
    assert b"127.0.0.2" not in ipme.addresses()


def test_what_moreipme_lists_is_ours(monkeypatch):
    monkeypatch.setattr(control, "lines", {"moreipme": [b"198.51.100.1", b"2001:DB8::9", b"nonsense"]}.get)
    assert {b"198.51.100.1", b"2001:db8::9"} <= ipme.addresses() and b"nonsense" not in ipme.addresses()
