"""The Received line of the network daemons, the client's variables, and rcpthosts' names."""
import pytest

from pyqmail.base import rcpthosts, received


@pytest.mark.parametrize("host, names", [
    (b"a.b.c", [b"a.b.c", b".b.c", b".c"]), (b"", []), (b".a", [b".a"]), (b"a..b", [b"a..b", b"..b", b".b"]),
    (b"a.", [b"a.", b"."])])
def test_suffixes(host, names):
    assert list(rcpthosts.suffixes(host)) == names


@pytest.mark.parametrize("text, number", [(None, None), (b"", 0), (b"12x", 12), (b"x", 0), (b"9" * 40, int("9" * 40))])
def test_databytes_of_a_client(text, number):
    assert received.Client({} if text is None else {b"DATABYTES": text}).databytes == number


def test_received_line_cannot_be_broken():
    client = received.Client({b"TCPREMOTEIP": b"1;2", b"TCPREMOTEHOST": b"h\no(st", b"TCPREMOTEINFO": b"a b"})
    line = received.received(b"SMTP", client, bytes(range(1, 256)), 0)
    assert line.startswith(b"Received: from h?o?st (HELO ") and line.count(b"\n") == 2
    assert b" (a?b@1?2)\n  by unknown with SMTP; 1 Jan 1970 00:00:00 -0000\n" in line


@pytest.mark.parametrize("variables, local", [
    ({b"TCPLOCALHOST": b"h", b"TCPLOCALIP": b"1"}, b"h"), ({b"TCPLOCALIP": b"1"}, b"1"),
    ({}, b"unknown")])
def test_own_name(variables, local):
    assert received.Client(variables).local == local
