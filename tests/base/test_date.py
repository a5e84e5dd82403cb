import pytest

from pyqmail.base import date


@pytest.mark.parametrize("seconds, header, mbox", [
    (0, b"1 Jan 1970 00:00:00 -0000", b"Thu Jan 01 00:00:00 1970"),
    (1795338307, b"22 Nov 2026 09:05:07 -0000", b"Sun Nov 22 09:05:07 2026"),
    (1709251199, b"29 Feb 2024 23:59:59 -0000", b"Thu Feb 29 23:59:59 2024"),
    (4102444800, b"1 Jan 2100 00:00:00 -0000", b"Fri Jan 01 00:00:00 2100"),
])
def test_dates(seconds, header, mbox):
    assert date.rfc822(seconds) == header
    assert date.from_line(seconds) == mbox


def test_no_time_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    date.time.tzset()
    try:
        assert date.from_line(0).endswith(b"00:00:00 1970")
    finally:
        monkeypatch.undo()
        date.time.tzset()
