"""The two forms of date that qmail writes, both in UTC."""
import time

MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
WEEKDAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")


def rfc822(seconds):
    """b"22 Nov 2026 09:05:07 -0000" for seconds since 1970; the day without a leading zero."""
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    return b"%d %b %d %02d:%02d:%02d -0000" % (day, MONTHS[month - 1], year, hour, minute, second)


def from_line(seconds):
    """b"Thu Jan 01 00:00:00 1970", as at the end of an mbox "From " line; the day has two digits."""
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    return b"%b %b %02d %02d:%02d:%02d %d" % (WEEKDAYS[weekday], MONTHS[month - 1], day, hour, minute, second, year)
