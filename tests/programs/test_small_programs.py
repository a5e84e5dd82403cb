"""DNS test programs, ipmeprint, hostname, qmail-config, qmail-newmrh, qmail-upq, instcheck."""
import fcntl
import os

import pytest

pytest.importorskip("dns")

from pyqmail.base import dns, home  # noqa: E402
from pyqmail.base.errors import Permanent, Temporary  # noqa: E402
from pyqmail.programs import (dnsfq, dnsip, dnsmxip, dnsptr, hostname, instcheck, ipmeprint, qmail_config,  # noqa: E402
                              qmail_newmrh, qmail_upq)
from tests.peers.nameserver import NameServer  # noqa: E402

ZONE = {
    ("a.test", "A"): ["192.0.2.1"], ("a.test", "AAAA"): ["2001:db8::1"],
    ("six.test", "AAAA"): ["2001:db8::2"],
    ("mail.far.test", "A"): ["192.0.2.9"],
    ("far.test", "MX"): ["20 a.test.", "10 mail.far.test.", "30 gone.test."],
    ("null.test", "MX"): ["0 ."],
    ("lost.test", "MX"): ["10 gone.test."],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["A.Test."],
    ("9.2.0.192.in-addr.arpa", "PTR"): ["mail.far.test."],
    ("soft.test", "A"): "SERVFAIL", ("soft.test", "MX"): "SERVFAIL",
    ("txt.test", "TXT"): ["x"],
}


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A name server with ZONE that the programs ask; resolv.conf completes names with far.test."""
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.1\nsearch elsewhere.test far.test\n")
    original = dns.Resolver.make
    with NameServer(ZONE) as server:
        class Here(dns.Resolver):
            def __init__(self):
                super().__init__(str(resolv_conf))

            @staticmethod
            def make():
                resolver = original()
                resolver.port = server.port
                return resolver
        monkeypatch.setattr(dns, "Resolver", Here)
        yield server


@pytest.mark.parametrize("program, argument, result", [
    (dnsip, b"a.test", (0, "192.0.2.1\n2001:db8::1\n", "")),
    (dnsip, b"six.test", (0, "2001:db8::2\n", "")),
    (dnsip, b"[192.0.2.77]", (0, "192.0.2.77\n", "")), (dnsip, b"2001:DB8::7", (0, "2001:db8::7\n", "")),
    (dnsip, b"gone.test", (100, "", "hard error\n")), (dnsip, b"txt.test", (100, "", "hard error\n")),
    (dnsip, b"soft.test", (111, "", "soft error\n")),
    (dnsptr, b"192.0.2.1", (0, "A.Test\n", "")), (dnsptr, b"192.0.2.2", (100, "", "hard error\n")),
    (dnsptr, b"a.test", (100, "", "hard error\n")),
    (dnsfq, b"a.test", (0, "A.Test\n", "")), (dnsfq, b"mail", (0, "mail.far.test\n", "")),
    (dnsfq, b"nothing", (100, "", "hard error\n")), (dnsfq, b"six.test", (100, "", "hard error\n")),
    (dnsfq, b"soft.test", (111, "", "soft error\n")),
    (dnsmxip, b"far.test", (0, "192.0.2.9 10\n192.0.2.1 20\n2001:db8::1 20\n", "")),
    (dnsmxip, b"a.test", (0, "192.0.2.1 0\n2001:db8::1 0\n", "")),
    (dnsmxip, b"null.test", (100, "", "hard error\n")), (dnsmxip, b"lost.test", (100, "", "hard error\n")),
    (dnsmxip, b"gone.test", (100, "", "hard error\n")), (dnsmxip, b"soft.test", (111, "", "soft error\n")),
])
def test_dns_programs(net, capfd, program, argument, result):
    code = program.main([argument])
    assert (code, *capfd.readouterr()) == result


@pytest.mark.parametrize("program", [dnsip, dnsptr, dnsfq, dnsmxip])
def test_dns_programs_want_a_name(program, capfd):
    assert program.main([]) == 100 and capfd.readouterr() == ("", "")


def test_ipmeprint(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    (tmp_path / "control/moreipme").write_text("192.0.2.200\n9.9.9.9\n2001:db8::77\n")
    assert not ipmeprint.main([])
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "0.0.0.0" and lines.index("9.9.9.9") < lines.index("127.0.0.1") < lines.index("192.0.2.200")
    assert lines.index("192.0.2.200") < lines.index("2001:db8::77") < lines.index("::1")


def test_hostname(capfd):
    assert not hostname.main([]) and capfd.readouterr().out == os.uname().nodename + "\n"


# qmail-config

@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    return tmp_path / "control"


def contents(place):
    return {path.name: path.read_text() for path in place.iterdir()}


@pytest.mark.parametrize("host, domain, plus", [
    ("mail.a.example", "a.example", "a.example"), ("a.example", "a.example", "a.example"),
    ("x.mail.a.example", "mail.a.example", "a.example")])
def test_config_fast(place, capfd, host, domain, plus):
    assert not qmail_config.main([host.encode()])
    assert contents(place) == {"me": f"{host}\n", "defaultdomain": f"{domain}\n", "plusdomain": f"{plus}\n",
                               "locals": f"{host}\n", "rcpthosts": f"{host}\n"}
    assert f"Putting {host} into control/me...\n" in capfd.readouterr().out


def test_config_leaves_what_is_there(place, capfd):
    (place / "locals").write_text("mine\n")
    qmail_config.main([b"a.example"])
    assert (place / "locals").read_text() == "mine\n"
    assert "Leaving control/locals as it is.\n" in capfd.readouterr().out


@pytest.mark.parametrize("host", [b"", b"a b", b"a\nb", b"\xe4.example"])
def test_config_wants_a_name(place, host):
    with pytest.raises(Permanent):
        qmail_config.main([host])
    assert contents(place) == {}


class Nodename:
    def __init__(self, nodename):
        self.nodename = nodename


def test_config_by_dns(place, net, monkeypatch, capfd):
    monkeypatch.setattr(os, "uname", lambda: Nodename("Mail"))
    monkeypatch.setattr(qmail_config.ipme, "addresses", lambda: {b"127.0.0.1", b"192.0.2.1"})
    assert not qmail_config.main([])
    assert contents(place) == {"me": "mail.far.test\n", "defaultdomain": "far.test\n", "plusdomain": "far.test\n",
                               "locals": "a.test\nmail.far.test\n", "rcpthosts": "a.test\nmail.far.test\n"}
    assert "127.0.0.1: PTR lookup failed" in capfd.readouterr().out


def test_config_without_a_name_in_the_dns(place, net, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: Nodename("nothing"))
    with pytest.raises(Temporary, match="set up control/me yourself"):
        qmail_config.main([])
    assert contents(place) == {}


# qmail-newmrh, qmail-upq, instcheck

def test_newmrh_that_fails_leaves_the_old_database(place, monkeypatch):
    (place / "morercpthosts").write_text("a.example\n")
    monkeypatch.chdir(place)
    qmail_newmrh.main([])
    old = (place / "morercpthosts.cdb").read_bytes()
    (place / "morercpthosts").write_text("b.example\n")
    monkeypatch.setattr(os, "fsync", lambda fd: os.stat("/nonexistent"))
    with pytest.raises(Temporary, match="unable to write to control/morercpthosts.tmp: file does not exist"):
        qmail_newmrh.main([])
    assert (place / "morercpthosts.cdb").read_bytes() == old


@pytest.fixture
def queue(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    for kind in ("mess", "info", "local", "remote"):
        for number in range(23):
            (tmp_path / "queue" / kind / str(number)).mkdir(parents=True)
    (tmp_path / "queue/lock").mkdir()
    (tmp_path / "queue/lock/sendmutex").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "queue"


def tree(queue):
    return sorted(str(path.relative_to(queue)) for path in queue.glob("[milr]*/**/*") if path.is_file())


def test_upq(queue):
    for name in ("mess/24", "mess/7/25", "mess/3/26", "info/100", "remote/0/23"):
        (queue / name).write_text(name)
    assert qmail_upq.main([]) == 0
    wanted = ["info/8/100", "mess/1/24", "mess/2/25", "mess/3/26", "remote/0/23"]
    assert [name for name in tree(queue) if not name.startswith("lock")] == wanted
    assert (queue / "mess/2/25").read_text() == "mess/7/25" and os.stat(queue / "mess/2/25").st_nlink == 1


def test_upq_overwrites_nothing(queue, capfd):
    (queue / "info/24").write_text("other")
    (queue / "info/1/24").write_text("mine")
    (queue / "local/core").touch()
    assert qmail_upq.main([]) == 111
    assert (queue / "info/1/24").read_text() == "mine" and (queue / "info/24").read_text() == "other"
    assert capfd.readouterr().err == (
        "qmail-upq: warning: unable to move queue/info/24 to info/1/24: file already exists\n"
        "qmail-upq: warning: queue/local/core is no queue file\n")


def test_upq_not_beside_qmail_send(queue, monkeypatch):
    def exclusive(fd, seconds):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            raise qmail_upq.Expired from None
    monkeypatch.setattr(qmail_upq.lock, "exclusive", exclusive)     # waits for nobody
    (queue / "mess/24").touch()
    with open(queue / "lock/sendmutex") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Temporary, match="qmail-send is running"):
            qmail_upq.main([])
    assert (queue / "mess/24").exists()


@pytest.mark.root
def test_instcheck(conformance_home, monkeypatch, capfd):
    monkeypatch.setattr(home, "HOME", conformance_home)
    assert not instcheck.main([]) and capfd.readouterr().err == ""
    path, other = f"{conformance_home}/queue/lock/tcpto", f"{conformance_home}/bin/forward"
    os.chmod(path, 0o600)
    os.chmod(other, 0o700)
    try:
        complaint = f"instcheck: warning: {path} has mode 0600, should be 0644\n"
        assert not instcheck.main([b"queue-only"]) and capfd.readouterr().err == complaint
        assert not instcheck.main([])
        said = capfd.readouterr().err
        assert complaint in said and f"instcheck: warning: {other} has mode 0700" in said
    finally:
        os.chmod(path, 0o644)
        os.chmod(other, 0o755)
    assert instcheck.main([b"x"]) == 100
