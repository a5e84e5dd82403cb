import os
import sys

import pytest

from pyqmail.install import interpreter

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize("name", sorted(os.listdir(f"{ROOT}/bin")))
def test_every_launcher_can_be_given_another_interpreter(name):
    with open(f"{ROOT}/bin/{name}", "rb") as f:
        content = f.read()
    assert interpreter.of_launcher(content) == "/usr/bin/python3"
    assert interpreter.of_launcher(interpreter.launcher(content, "/opt/p/bin/python3.12")) == "/opt/p/bin/python3.12"


def test_what_is_no_launcher():
    assert interpreter.of_launcher(b"\x7fELF") is None
    assert interpreter.of_launcher(b"#!/bin/sh\nexec something\n") is None


def test_open_to_all(tmp_path):
    os.chmod(tmp_path, 0o755)
    program = tmp_path / "python3"
    program.write_text("#!/bin/sh\n")
    above_is_open = all(os.stat(path).st_mode & 0o001 for path in tmp_path.parents)
    os.chmod(program, 0o755)
    assert interpreter.open_to_all(str(program)) == above_is_open
    os.chmod(program, 0o750)
    assert not interpreter.open_to_all(str(program))
    assert not interpreter.open_to_all(str(tmp_path / "missing"))


def test_a_link_into_a_closed_directory_is_closed(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python3").write_text("#!/bin/sh\n")
    os.chmod(closed / "python3", 0o755)
    os.symlink(closed / "python3", tmp_path / "python3")
    assert not interpreter.open_to_all(str(tmp_path / "python3"))


def test_version():
    assert interpreter.version(os.path.realpath(sys.executable)) == sys.version_info[:2]
    assert interpreter.version("/bin/true") == interpreter.version("/nonexistent") == (0, 0)
