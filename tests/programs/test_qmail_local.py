import os

import pytest

from pyqmail.programs import maildirmake, qmail_local

WORDS = [b"joe", b"HOME", b"joe", b"", b"", b"h", b"s@x", b"./Mailbox"]
USAGE = "qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty\n"


@pytest.fixture
def words(tmp_path):
    tmp_path.chmod(0o700)
    return [os.fsencode(tmp_path) if word == b"HOME" else word for word in WORDS]


@pytest.mark.parametrize("change, said", [
    (lambda w: w[:-1], USAGE),
    (lambda w: [*w, b"x"], USAGE),
    (lambda w: [b"-x", *w], "qmail-local: illegal option -- x\n" + USAGE),
    (lambda w: [w[0], b"relative", *w[2:]], USAGE),
    (lambda w: [w[0], b"", *w[2:]], USAGE),
    (lambda w: [], USAGE),
])
def test_usage(words, capfd, change, said):
    assert qmail_local.main(change(words)) == 100
    assert capfd.readouterr() == ("", said)


@pytest.mark.parametrize("options", [[b"-n"], [b"-Nn"], [b"-N", b"-n"], [b"-n", b"--"]])
def test_only_describing(words, capfd, tmp_path, options):
    assert qmail_local.main([*options, *words]) == 0
    assert capfd.readouterr() == ("mbox ./Mailbox\ndid 1+0+0\n", "")
    assert os.listdir(tmp_path) == []


def test_errors_go_to_descriptor_2(words, capfd):
    words[3:5] = b"-", b"none"
    assert qmail_local.main([b"-n", *words]) == 100
    assert capfd.readouterr() == ("", "Sorry, no mailbox here by that name. (#5.1.1)\n")


def test_maildirmake(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0)
    try:
        assert maildirmake.main([]) == 100
        assert maildirmake.main([b"-x", b"ignored"]) == 0
        assert maildirmake.main([b"-x"]) == 111
        assert maildirmake.main([b"none/x"]) == 111
    finally:
        os.umask(umask)
    assert sorted(os.listdir(tmp_path / "-x")) == ["cur", "new", "tmp"]
    assert (tmp_path / "-x").stat().st_mode & 0o777 == 0o700
    assert capfd.readouterr().err == (
        "maildirmake: usage: maildirmake name\n"
        "maildirmake: fatal: unable to mkdir -x: file already exists\n"
        "maildirmake: fatal: unable to mkdir none/x: file does not exist\n")
