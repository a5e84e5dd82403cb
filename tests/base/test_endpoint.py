"""Addresses to listen at."""
import pytest

from pyqmail.base import endpoint


@pytest.mark.parametrize("entry, expected", [
    ("192.0.2.1:25", ("192.0.2.1", 25)), (" 127.0.0.1:2525\n", ("127.0.0.1", 2525)), ("0.0.0.0:0", ("0.0.0.0", 0)),
    ("[::]:25", ("::", 25)), ("[2001:db8::1]:65535", ("2001:db8::1", 65535))])
def test_good(entry, expected):
    assert endpoint.parse(entry) == expected


BAD = ["", "25", ":25", "*:25", "0:25", "localhost:25", "192.0.2.1", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:65536",
       "192.0.2.1:-1", "192.0.2.1:\u0662\u0665", "::1:25", "[::1]", "[::1:25"]


@pytest.mark.parametrize("entry", BAD)
def test_bad(entry):
    with pytest.raises(ValueError, match="not an address and port: "):
        endpoint.parse(entry)
