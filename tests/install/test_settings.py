import os
import socket
import stat

import pytest

from pyqmail.base.errors import Temporary
from pyqmail.install import settings


@pytest.mark.parametrize("fqdn,short,name", [
    ("mail.a.example", "mail", "mail.a.example"),
    ("Mail.A.Example.", "mail", "mail.a.example"),
    ("localhost.localdomain", "mail.a.example", "mail.a.example"),
    ("vm", "vm", "vm.localdomain"),
    ("localhost", "vm", "vm.localdomain"),
    ("localhost", "localhost", "localhost.localdomain"),
    ("localhost.localdomain", "localhost.localdomain", "localhost.localdomain"),
    ("", "", "localhost.localdomain"),
])
def test_host_name(monkeypatch, fqdn, short, name):
    monkeypatch.setattr(socket, "getfqdn", lambda: fqdn)
    monkeypatch.setattr(socket, "gethostname", lambda: short)
    assert settings.host_name() == name


@pytest.mark.parametrize("name,default,plus", [
    ("mail.b.a.example", "b.a.example", "a.example"),
    ("mail.a.example", "a.example", "a.example"),
    ("a.example", "a.example", "a.example"),
    ("vm.localdomain", "localdomain", "vm.localdomain"),
])
def test_domains_of_config_fast(name, default, plus):
    assert (settings.default_domain(name), settings.plus_domain(name)) == (default, plus)


def test_an_existing_installation_is_not_made_to_refuse_recipients():
    new, old = (settings.controls("mail.a.example", "s", "p", new=new) for new in (True, False))
    assert new["rcptcheck"] == "1\n" and new.keys() - old.keys() == {"rcptcheck"}


def test_whatever_qmail_inject_makes_of_local_names_is_local():
    files = settings.controls("mail.a.example", "s", "p")
    domain = files["defaultdomain"].strip()
    for host in ("mail", "localhost"):
        assert f"{host}.{domain}" in files["locals"].split()
    assert files["rcpthosts"] == files["locals"]


@pytest.mark.parametrize("given,line", [
    ("127.0.0.1:2525", "127.0.0.1:2525"), ("127.0.0.1", "127.0.0.1:25"), ("2525", "0.0.0.0:2525"),
    ("[::1]:2525", "[::1]:2525"), ("[::1]", "[::1]:25"),
])
def test_addresses(given, line):
    assert settings.address(given, 25) == line


@pytest.mark.parametrize("given", ["", "x", "localhost:25", "::1", "127.0.0.1:", "127.0.0.1:65536", "[::1", "1.2.3:25"])
def test_what_is_no_address(given):
    with pytest.raises(Temporary):
        settings.address(given, 25)


def test_several_addresses():
    assert settings.addresses("127.0.0.1:1,[::1]:2", 25, False) == "127.0.0.1:1\n[::1]:2\n"
    assert settings.addresses(None, 2525, everywhere=False) == "127.0.0.1:2525\n"
    assert settings.addresses(None, 25, everywhere=True).startswith("0.0.0.0:25\n")


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "me").write_text("mine\n")
    os.umask(0o022)
    assert settings.write_missing(str(tmp_path), {"me": "theirs\n", "locals": "x\n"}) == ["locals"]
    assert (tmp_path / "me").read_text() == "mine\n"
    assert stat.S_IMODE(os.stat(tmp_path / "locals").st_mode) == 0o644
