"""What strangers put before the @ decides who gets the mail, and nothing else (OpenSMTPD CVE-2020-7247).

There one check was skipped where the domain was empty, and the sender reached a root shell.
"""
import os

import pytest

HOSTILE = [b";for i in 0 x;do touch hit;done;exit 0", b"`touch hit`", b"$(touch hit)", b"|touch hit",
           b"../../joe/hit", b"/etc/passwd", b"\n|touch hit",
           b"-d", b"--help", b" ", b"'\"\\", b"%s%n",
           b"\xff\xfe", b"a" * 900, b"default", b"DEFAULT", b".", b":", b"default/../x"]


@pytest.fixture
def lspawn(harness, tmp_path_factory):
    module = harness("spawn/test_lspawn.py")
    path = tmp_path_factory.mktemp("lspawn")
    for above in (path, *path.parents[:-2]):
        os.chmod(above, os.stat(above).st_mode | 0o011)
    home = module.Home(str(path))
    home.file("joe/.qmail-default", b"./box\n")
    home.file("joe/.qmail", b"./box\n")
    with module.Spawner(home) as spawner:
        yield home, spawner


@pytest.mark.root
@pytest.mark.parametrize("domain", [b"", b"host"])
@pytest.mark.parametrize("warm", [True, False])
def test_only_mail_is_made_of_it(lspawn, domain, warm):
    """By a warm process, and by bin/qmail-local with its command line."""
    home, spawner = lspawn
    if not warm:
        with open(f"{home.path}/bin/qmail-local", encoding="ascii") as f:
            text = f.read()
        os.rename(f"{home.path}/bin/qmail-local", f"{home.path}/bin/qmail-local.own")
        with open(f"{home.path}/bin/qmail-local", "w", encoding="ascii") as f:
            f.write('#!/bin/sh\nexec "$0.own" "$@"\n')
        os.chmod(f"{home.path}/bin/qmail-local", 0o755)
        assert "from pyqmail" in text
    for local in HOSTILE:
        for sender in (b"s@a.example", local, local + b"@" + domain):
            said = spawner.deliver(b"joe-" + local + b"@" + domain, sender=sender)
            assert said == b"Kdid 1+0+0\n", (local, sender, said)
    with open(f"{home.path}/joe/box", "rb") as f:
        box = f.read()
    assert box.count(b"\nDelivered-To: joe-") == 3 * len(HOSTILE) == box.count(b"From ")
    assert not [name for _, _, names in os.walk(home.path) for name in names if name == "hit"]
    assert sorted(os.listdir(f"{home.path}/joe")) == [".qmail", ".qmail-default", "box"]


@pytest.mark.root
@pytest.mark.parametrize("recipient, letter", [(b"", b"D"), (b"nohost", b"D"), (b"@", b"K"), (b"@host", b"K")])
def test_recipients_that_name_nobody(lspawn, recipient, letter):
    home, spawner = lspawn
    assert spawner.deliver(recipient)[:1] == letter and not os.path.exists(f"{home.path}/joe/box")
