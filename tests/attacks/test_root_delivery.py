"""Root is never a mail user: qmail-local refuses, whatever started it."""
import os

from pyqmail.programs import qmail_local


def test_refused(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    words = [b"root", os.fsencode(tmp_path), b"root", b"", b"", b"h", b"s@x", b"|touch hit"]
    assert qmail_local.main(words) == 113
    assert qmail_local.main([b"-nN", *words]) == 113
    assert capfd.readouterr().err == "Not allowed to perform deliveries as root.\n" * 2
    assert os.listdir(tmp_path) == []
