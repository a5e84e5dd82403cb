"""qmail-tcpok, run by root, zeroes a file in a directory of qmailq's: it must not be led to another one."""
import os

import pytest

from pyqmail.base.errors import Temporary
from pyqmail.programs import qmail_tcpok


def test_a_link_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(qmail_tcpok.home, "HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    os.makedirs("queue/lock")
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 2000)
    os.symlink(secret, "queue/lock/tcpto")
    with pytest.raises(Temporary, match="symbolic link loop"):
        qmail_tcpok.main([])
    assert secret.read_bytes() == b"x" * 2000
    monkeypatch.chdir(tmp_path)
    os.unlink("queue/lock/tcpto")
    (tmp_path / "queue/lock/tcpto").write_bytes(b"x" * 2000)
    assert qmail_tcpok.main([]) == 0
    assert (tmp_path / "queue/lock/tcpto").read_bytes() == bytes(1024) + b"x" * 976
