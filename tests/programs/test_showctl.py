"""qmail-showctl: the files that only pyqmail has."""
import os

import pytest

from pyqmail.base import accounts, controls, home
from pyqmail.programs import qmail_showctl


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    monkeypatch.setattr(accounts, "private", lambda: (1000, 1000))
    (tmp_path / "control").mkdir()

    def run(**files):
        for name, text in files.items():
            (tmp_path / "control" / name).write_text(text)
        written = []
        monkeypatch.setattr(qmail_showctl.netio, "write_all", lambda fd, data: written.append((fd, data)))
        assert qmail_showctl.main([]) == 0
        (fd, data), = written
        assert fd == 1
        return data
    return run


def test_own_files_are_mentioned_only_where_they_are(report):
    bare = report()
    assert not [entry.name for entry in controls.CONTROLS if entry.own and entry.name.encode() + b":" in bare]
    shown = report(pop3listen="127.0.0.1:110\n", pop3checker="vchkpw x\n", concurrencypop3="7\n", **{"tcp.pop3": ":allow\n"})
    for section in (b"\npop3listen: \nPOP3 is served at 127.0.0.1:110.\n", b"\npop3checker: POP3 checker: vchkpw x.\n",
                    b"\nconcurrencypop3: POP3 concurrency is 7.\n", b"\ntcp.pop3: \nPOP3 rule: :allow\n"):
        assert section in shown
    assert b"no idea" not in shown


def test_a_name_of_any_bytes(report, tmp_path):
    (tmp_path / "control" / os.fsdecode(b"x\xff")).touch()
    assert b"\nx\xff: I have no idea what this file does.\n" in report()
