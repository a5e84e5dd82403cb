"""DNS against a real server: what is there, what is not, and what cannot be known."""
import asyncio
import importlib.util
import os
import subprocess
import sys
import time

import pytest

pytest.importorskip("dns")

from pyqmail.base import dns as mail_dns  # noqa: E402
from pyqmail.base.dns import NotFound  # noqa: E402
from pyqmail.base.errors import Temporary  # noqa: E402

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
PEER = os.path.join(TESTS, "peers/nameserver.py")
spec = importlib.util.spec_from_file_location("nameserver", PEER)
peer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peer)

ZONE = {
    ("far.test", "MX"): ["20 b.test.", "10 a.test."],
    ("a.test", "A"): ["192.0.2.1", "192.0.2.2"],
    ("a.test", "AAAA"): ["2001:db8::1", "::ffff:192.0.2.3"],
    ("null.test", "MX"): ["0 ."],
    ("alias.test", "CNAME"): ["far.test"],
    ("lost.test", "CNAME"): ["a.test"],
    ("soft.test", "MX"): "SERVFAIL", ("no.test", "MX"): "REFUSED",
    ("big.test", "MX"): ["%d a-host-with-a-long-name-%d.test." % (n % 150, n) for n in range(150)],
}
TABLE = [
    (b"far.test", "MX", [(10, b"a.test"), (20, b"b.test")]),
    (b"FAR.test.", "MX", [(10, b"a.test"), (20, b"b.test")]),
    (b"a.test", "A", [b"192.0.2.1", b"192.0.2.2"]),
    (b"a.test", "AAAA", [b"192.0.2.3", b"2001:db8::1"]),
    (b"null.test", "MX", [(0, b"")]),
    (b"alias.test", "MX", [(10, b"a.test"), (20, b"b.test")]),
    (b"lost.test", "MX", []),
    (b"far.test", "A", NotFound),
    (b"gone.test", "MX", NotFound),
    (b"no such\xe9.test", "A", NotFound),
    (b"x..test", "A", NotFound), (b"x" * 64 + b".test", "A", NotFound), (b"x." * 200, "A", NotFound),
    (b".".join([b"x" * 49] * 5) + b".test", "A", NotFound),         # 254 bytes: too long on the wire
    (b"soft.test", "MX", Temporary), (b"no.test", "MX", Temporary),
]


def resolver_at(kind, port, tmp_path):
    class Here(kind):
        @staticmethod
        def make():
            resolver = kind.make()
            resolver.port = port
            return resolver
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    return Here(str(tmp_path / "resolv.conf"))


def ask(resolver, name, kind):
    try:
        return resolver.lookup(name, kind)
    except (NotFound, Temporary) as why:
        return type(why)


async def ask_async(resolver, name, kind):
    try:
        return await resolver.lookup(name, kind)
    except (NotFound, Temporary) as why:
        return type(why)


def in_order(answer):
    return sorted(answer) if isinstance(answer, list) else answer


@pytest.mark.parametrize("edns", [True, False])
def test_waiting(tmp_path, edns):
    with peer.NameServer(ZONE, edns) as server:
        resolver = resolver_at(mail_dns.Resolver, server.port, tmp_path)
        assert [in_order(ask(resolver, name, kind)) for name, kind, _ in TABLE] == [answer for _, _, answer in TABLE]


def test_in_an_event_loop(tmp_path):
    async def everything(port):
        resolver = resolver_at(mail_dns.AsyncResolver, port, tmp_path)
        resolver.warm()
        return [in_order(await ask_async(resolver, name, kind)) for name, kind, _ in TABLE]
    with peer.NameServer(ZONE) as server:
        assert asyncio.run(everything(server.port)) == [answer for _, _, answer in TABLE]


def test_equal_questions_under_way_are_asked_once(tmp_path):
    async def everything(port):
        resolver = resolver_at(mail_dns.AsyncResolver, port, tmp_path)
        return await asyncio.gather(*(ask_async(resolver, b"a.test", "A") for _ in range(50)))
    with peer.NameServer(ZONE) as server:
        answers = asyncio.run(everything(server.port))
        assert len(server.questions) == 1 and all(len(answer) == 2 for answer in answers)


def test_answers_are_at_hand_as_long_as_they_hold(tmp_path, monkeypatch):
    class Time:
        monotonic, time = staticmethod(lambda: now[0]), time.time
    now = [1000.0]
    monkeypatch.setattr(mail_dns, "time", Time)

    async def everything(port):
        resolver = resolver_at(mail_dns.AsyncResolver, port, tmp_path)
        assert resolver.known(b"a.test", "A") is None
        for name, kind in ((b"a.test", "A"), (b"far.test", "A"), (b"soft.test", "MX")):
            await ask_async(resolver, name, kind)
        asked = len(server.questions)
        assert in_order(resolver.known(b"a.TEST", "A")) == in_order(await ask_async(resolver, b"a.test", "A"))
        assert resolver.known(b"soft.test", "MX") is None
        assert resolver.known(b"far.test", "A") is None, "nobody says how long (RFC 2308 5)"
        assert await ask_async(resolver, b"far.test", "A") == NotFound
        assert len(server.questions) == asked
        now[0] += mail_dns.KEPT_TIME
        assert resolver.known(b"a.test", "A") is None
    with peer.NameServer(ZONE) as server:
        asyncio.run(everything(server.port))


def test_no_more_answers_are_at_hand_than_allowed(tmp_path, monkeypatch):
    class Answer:
        expiration = time.time() + 1000
    monkeypatch.setattr(mail_dns, "CACHE", 3)

    async def everything():
        resolver = mail_dns.AsyncResolver(str(tmp_path / "resolv.conf"))
        for number in range(5):
            resolver._learn(b"%d" % number, "A", [b"192.0.2.1"], Answer)
        return [resolver.known(b"%d" % number, "A") for number in range(5)]
    assert asyncio.run(everything()) == [None, None, *[[b"192.0.2.1"]] * 3]


def test_large_answers_come_over_tcp_and_are_cut(tmp_path):
    with peer.NameServer(ZONE) as server:
        found = resolver_at(mail_dns.Resolver, server.port, tmp_path).lookup(b"big.test", "MX")
        assert server.questions == [("big.test", "MX", False), ("big.test", "MX", True)]
    assert [preference for preference, _ in found] == list(range(mail_dns.RECORDS_MAX))


def test_resolv_conf_is_read_again_when_it_changes(tmp_path):
    resolver = mail_dns.Resolver(str(tmp_path / "resolv.conf"))
    assert [server.address for server in map(as_server, resolver.resolvers()[0].nameservers)] == ["127.0.0.1"]
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    assert [server.address for server in map(as_server, resolver.resolvers()[0].nameservers)] == ["192.0.2.53"]


def as_server(server):
    return server if hasattr(server, "address") else type("Server", (), {"address": server})


def test_the_library_comes_without_what_nobody_needs():
    """Features of dnspython that we do not use are not there, and what finds out about them neither; others get it."""
    code = ("import sys; from pyqmail.base import dns; dns._load(); import dns._features\n"
            "assert not {'email', 'importlib.metadata', 'csv'} & set(sys.modules)\n"
            "assert not any(map(dns._features.have, dns._features._requirements))\n"
            "import importlib.metadata; assert importlib.metadata.version('dnspython')")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
