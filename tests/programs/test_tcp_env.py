"""tcp-env: options, names, variables."""
import os
import socket

import pytest

from pyqmail.base import dns, options
from pyqmail.base.errors import Temporary
from pyqmail.programs import tcp_env


@pytest.mark.parametrize("ip, name", [
    ("192.0.2.1", b"1.2.0.192.in-addr.arpa"),
    ("2001:db8::1", b"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
])
def test_reverse(ip, name):
    assert tcp_env.reverse(ip) == name


@pytest.mark.parametrize("argv, expected, rest", [
    ([b"prog", b"-R"], (True, 30), [b"prog", b"-R"]),
    ([b"-Rt5", b"prog"], (False, 5), [b"prog"]),
    ([b"-R", b"-r", b"-t", b"7s", b"prog"], (True, 7), [b"prog"]),
    ([b"-t", b"x", b"prog"], (True, 0), [b"prog"]),
    ([b"-zR", b"prog"], (False, 30), [b"prog"]),
])
def test_options(argv, expected, rest, capfd):
    wanted = options.Options(argv, b"rRt:")
    assert tcp_env.read(wanted) == expected
    assert wanted.rest == rest
    assert capfd.readouterr().err == ""


@pytest.fixture
def on_descriptor_0(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        served, _ = listener.accept()
        with served:
            real = os.dup
            monkeypatch.setattr(os, "dup", lambda fd: real(served.fileno()))
            yield served.getsockname(), client.getsockname()


@pytest.mark.parametrize("answer, host", [
    ([b"Local.Example", b"second.example"], b"local.example"), ([], None), (dns.NotFound("no"), None),
    (Temporary("later"), b"softdnserror")])
def test_variables(on_descriptor_0, monkeypatch, answer, host):
    def lookup(self, name, kind):
        assert (name, kind) == (b"1.0.0.127.in-addr.arpa", "PTR")
        if isinstance(answer, Exception):
            raise answer
        return answer
    monkeypatch.setattr(dns.Resolver, "lookup", lookup)
    (_, here), (_, there) = on_descriptor_0
    environ = {b"TCPREMOTEINFO": b"old", b"TCPREMOTEHOST": b"old", b"KEPT": b"1"}
    tcp_env.connection(environ, None)
    expected = {b"KEPT": b"1", b"PROTO": b"TCP", b"TCPLOCALIP": b"127.0.0.1", b"TCPREMOTEIP": b"127.0.0.1",
                b"TCPLOCALPORT": b"%d" % here, b"TCPREMOTEPORT": b"%d" % there}
    if host:
        expected |= {b"TCPLOCALHOST": host, b"TCPREMOTEHOST": host}
    assert environ == expected
