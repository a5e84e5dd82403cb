"""What a program says yes to is on the disk by then: who renames or removes a file syncs its directory afterwards."""
import os

import pytest

from pyqmail.auth import poppasswd
from pyqmail.base import home, netio
from pyqmail.programs import qmail_newmrh, tcprules
from pyqmail.queue import change, suspects


@pytest.fixture
def done(monkeypatch):
    """What was done, in order: ("rename" or "unlink", name), ("sync", path or name of what is open)."""
    found = []

    def note(module, name, word, where):
        original = getattr(module, name)

        def noted(*arguments, **options):
            found.append((word, where(arguments)))
            return original(*arguments, **options)
        monkeypatch.setattr(module, name, noted)
    note(os, "rename", "rename", lambda arguments: os.path.basename(os.fsdecode(arguments[1])))
    note(os, "unlink", "unlink", lambda arguments: os.path.basename(os.fsdecode(arguments[0])))
    note(os, "fsync", "sync", lambda arguments: os.path.basename(os.readlink(f"/proc/self/fd/{arguments[0]}")))
    return found


def test_tcprules(tmp_path, monkeypatch, done):
    monkeypatch.setattr(netio, "read_all", lambda fd, limit: b":allow\n")
    (tmp_path / "rules").mkdir()
    tcprules.main([os.fsencode(tmp_path / "rules" / "cdb"), os.fsencode(tmp_path / "rules" / "tmp")])
    assert done == [("sync", "tmp"), ("rename", "cdb"), ("sync", "rules")]


def test_qmail_newmrh(tmp_path, monkeypatch, done):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "morercpthosts").write_bytes(b"a.example\n")
    mask = os.umask(0o022)
    try:
        qmail_newmrh.main([])
    finally:
        os.umask(mask)
    assert done == [("sync", "morercpthosts.tmp"), ("rename", "morercpthosts.cdb"), ("sync", "control")]


def test_password_of_a_private_home(tmp_path, done):
    (tmp_path / "users").mkdir()
    poppasswd.put(b"joe", b"secret", str(tmp_path / "users" / "poppasswd"))
    assert done == [("sync", "poppasswd.new"), ("rename", "poppasswd"), ("sync", "users")]


# ---------------------------------------------------------------- the queue by hand

@pytest.fixture
def message(tmp_path, monkeypatch):
    """A message 23 in the queue, the working directory; its mark."""
    for name in ("mess/0", "info/0", "local/0", "todo", "bounce", "run"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "mess/0/23").write_bytes(b"text")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(suspects.home, "path", lambda *parts: str(tmp_path / "run"))
    return suspects.mark(23)


def test_held_and_released(message, done):
    suspects.hold({23: message})
    assert done == [("sync", "suspects.new"), ("rename", "suspects"), ("sync", "run")]
    done.clear()
    suspects.File().change(lambda entries: suspects.let_go(entries, {23}))      # qmail-send: the file is whole at least
    assert done == [("sync", "suspects.new"), ("rename", "suspects")]
    done.clear()
    assert suspects.release({23}) == [23]
    assert done == [("sync", "suspects.new"), ("rename", "suspects"), ("sync", "run")]


def test_who_holds_nothing_waits_for_no_disk(message, done):
    suspects.File().change(lambda entries: {("loop", 23): (message, 1)})
    assert done == [("rename", "suspects")]


def test_expired_and_deleted(message, tmp_path, done):
    (tmp_path / "info/0/23").write_bytes(b"Fa@b\0")
    (tmp_path / "local/0/23").write_bytes(b"Tc@d\0")
    (tmp_path / "bounce/23").write_bytes(b"why")
    change.expire(23, message)
    assert done == [("sync", "23")]
    done.clear()
    change.delete(23, message)
    assert done == [("sync", "23"), ("unlink", "23"), ("sync", "bounce")]


def test_deleted_before_it_was_preprocessed(message, tmp_path, done):
    (tmp_path / "todo/23").write_bytes(b"")
    asked = []
    change.delete_new(23, message, lambda request: asked.append((request, list(done))))
    assert [request for request, _ in asked] == [b"todo/23", b"foop/23"]
    assert ("sync", "todo") in asked[1][1]
