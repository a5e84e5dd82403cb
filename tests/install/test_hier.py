"""The tree: the table, laying it, mending it, finding deviations. In a private home: no root needed."""
import os
import stat

import pytest

from pyqmail.base import home
from pyqmail.base.errors import Temporary
from pyqmail.install import hier

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def target(tmp_path, monkeypatch):
    """An empty home that belongs to an ordinary user, or to us if we are one."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 4711, 4712)
    os.chmod(tmp_path, 0o755)
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    return tmp_path


def lay_fixed():
    layer = hier.Layer()
    return [entry.path for entry in hier.fixed() if layer.lay(entry)]


def deviations():
    """Those of the entries without code."""
    return [line for line in hier.deviations(str(home.HOME)) if "/bin/" not in line and "/boot/" not in line
            and "pyproject" not in line]


def test_every_program_has_its_mode():
    listed = [name for programs in hier.PROGRAMS.values() for name in programs]
    assert sorted(listed) == sorted(os.listdir(f"{ROOT}/bin"))
    assert len(set(listed)) == len(listed)


def test_every_start_file_is_listed():
    assert sorted((*hier.BOOT, *hier.COURIER, *hier.UNITS)) == sorted(os.listdir(f"{ROOT}/boot"))


def test_table_has_what_a_queue_needs():
    paths = {entry.path: entry for entry in hier.fixed()}
    assert {f"queue/{kind}/{n}" for kind in ("mess", "info", "local", "remote") for n in range(23)} <= set(paths)
    assert paths["queue/info/22"][1:4] == ("qmails", "qmail", 0o700)
    assert paths["queue/mess/0"][1:4] == ("qmailq", "qmail", 0o750)
    assert paths["queue/lock/trigger"][1:] == ("qmails", "qmail", 0o622, hier.FIFO)


def test_lay_twice(target):
    assert deviations() and lay_fixed()
    assert deviations() == []
    assert lay_fixed() == []
    assert stat.S_ISFIFO(os.stat(target / "queue/lock/trigger").st_mode)
    assert (target / "queue/lock/tcpto").read_bytes() == bytes(1024)


@pytest.mark.parametrize("break_it,line", [
    (lambda path: os.chmod(path / "queue/todo", 0o777), "queue/todo has mode 0777, should be 0750"),
    (lambda path: os.unlink(path / "queue/lock/trigger"), "queue/lock/trigger does not exist"),
    (lambda path: os.chmod(path / "alias", 0o755), "alias has mode 0755, should be 2755"),
])
def test_deviations_are_told_and_mended(target, break_it, line):
    lay_fixed()
    break_it(target)
    assert deviations() == [f"{target}/{line}"]
    lay_fixed()
    assert deviations() == []


def test_wrong_length_of_tcpto_is_told(target):
    lay_fixed()
    os.truncate(target / "queue/lock/tcpto", 10)
    assert deviations() == [f"{target}/queue/lock/tcpto has 10 bytes, should have 1024"]


def test_no_symbolic_link_is_followed(target, tmp_path_factory):
    """qmailq owns queue/ and could put a link there; root must not change what it points to."""
    lay_fixed()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    os.chmod(elsewhere, 0o711)
    os.rename(target / "queue/lock", target / "queue/away")
    os.symlink(elsewhere, target / "queue/lock")
    with pytest.raises((Temporary, OSError)):
        lay_fixed()
    assert stat.S_IMODE(os.stat(elsewhere).st_mode) == 0o711 and os.listdir(elsewhere) == []


@pytest.mark.parametrize("name", ["queue/lock/tcpto", "queue/lock/sendmutex"])
def test_no_hard_link_is_mended(target, tmp_path_factory, name):
    """As before: the file of that name may be any file of this file system."""
    lay_fixed()
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_bytes(bytes(1024))
    secret.chmod(0o400)
    os.unlink(target / name)
    os.link(secret, target / name)
    with pytest.raises(Temporary, match="another name"):
        lay_fixed()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o400


def test_files_are_replaced_in_one_step_and_only_when_they_differ(target):
    lay_fixed()
    layer, entry = hier.Layer(), hier.Entry("bin/x", "root", "qmail", 0o755, hier.PROGRAM)
    assert layer.lay(entry, b"one")
    before = os.stat(target / "bin/x")
    assert not layer.lay(entry, b"one")
    assert os.stat(target / "bin/x").st_ino == before.st_ino
    assert layer.lay(entry, b"two")
    assert (target / "bin/x").read_bytes() == b"two"
    assert stat.S_IMODE(os.stat(target / "bin/x").st_mode) == 0o755
    assert os.listdir(target / "bin") == ["x"]
