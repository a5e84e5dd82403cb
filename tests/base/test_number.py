"""Numbers at the start of a text."""
import pytest

from pyqmail.base import number


@pytest.mark.parametrize("text, expected", [
    (b"12 3", (12, b" 3")), (b"0", (0, b"")), (b"x", (None, b"x")), (b"", (None, b"")), (b"-1", (None, b"-1")),
    (b"1x", (1, b"x")), (b"99999999999", (99999999999, b"")), ("٣".encode(), (None, "٣".encode()))])
def test_numbers(text, expected):
    assert number.leading(text) == expected


@pytest.mark.parametrize("text, expected", [
    (b"", 0), (b"x", 0), (b"12", 12), (b"12x3", 12), (b"18446744073709551639", 23), (b"0" * 90 + b"7", 7)])
def test_numbers_as_c_has_them(text, expected):
    assert number.unsigned(text) == expected


def test_a_number_of_a_thousand_digits_is_no_work():
    given, rest = number.leading(b"9" * 4000)
    assert given > 10 ** 20 and rest == b""
