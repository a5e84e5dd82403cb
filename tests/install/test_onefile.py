"""The modules of a program in one file: used where they are those of the sources, and only there."""
import os
import shutil
import subprocess
import sys

import pytest

from pyqmail.install import onefile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODULES = ("pyqmail.base.errors", "pyqmail.base.home", "pyqmail.queue", "pyqmail.programs.forward")
SHOW = f"""
import sys
sys.argv[0] = "bin/" + sys.argv[1]
sys.path[:0] = [sys.argv[2]]
from pyqmail.programs import forward
from pyqmail.base import cached, home     # cached: not needed by forward
for name in {(*MODULES, "pyqmail.base.cached")}:
    module = sys.modules[name]
    print(name, type(module.__spec__.loader).__name__, module.__file__.startswith(sys.argv[2]))
print(home.HOME)
"""


@pytest.fixture
def place(tmp_path):
    """A home with the package and forward's modules in one file."""
    return made(tmp_path / "home", "forward")


def made(home, program):
    shutil.copytree(f"{ROOT}/pyqmail", home / "pyqmail", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-ISXutf8", home / "pyqmail/install/onefile.py", program,
                    *onefile.PROGRAMS[program]], check=True)
    return home


def loaders(home, program="forward"):
    done = subprocess.run([sys.executable, "-ISXutf8", "-c", SHOW, program, home], capture_output=True, text=True)
    assert done.stderr == ""
    *lines, shown = done.stdout.splitlines()
    assert shown == str(home) and all(line.endswith(" True") for line in lines)
    return {name: loader for name, loader, _ in map(str.split, lines)}


def the_file(home):
    found = [name for name in os.listdir(home / "pyqmail/__pycache__") if name.endswith(".modules")]
    return home / "pyqmail/__pycache__" / found[0]


def test_they_come_from_one_file(place):
    found = loaders(place)
    assert {found[name] for name in MODULES} == {"Modules"}
    assert found["pyqmail.base.cached"] == "SourceFileLoader"
    assert set(loaders(place, "sendmail").values()) == {"SourceFileLoader"}       # another program: no such file


def test_a_changed_source_counts(place):
    with open(place / "pyqmail/base/home.py", "a") as file:
        file.write("# changed\n")
    found = loaders(place)
    assert found["pyqmail.base.home"] == "SourceFileLoader" and found["pyqmail.base.errors"] == "Modules"


def test_a_home_that_was_moved_is_where_it_is_now(place, tmp_path):
    os.rename(place, tmp_path / "moved")
    assert loaders(tmp_path / "moved")["pyqmail.base.errors"] == "Modules"


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:-1], lambda data: b"x" * 1000, lambda data: b"N",
    lambda data: data.replace(sys.hexversion.to_bytes(4, "little"), b"\1\2\3\4", 1)])
def test_a_file_that_is_broken_or_for_another_interpreter_is_none(place, damage):
    path = the_file(place)
    path.write_bytes(damage(path.read_bytes()))
    assert set(loaders(place).values()) == {"SourceFileLoader"}


@pytest.mark.parametrize("program", onefile.PROGRAMS)
def test_there_is_such_a_program(program):
    with open(f"{ROOT}/bin/{program}") as file:
        assert f"from pyqmail.{onefile.PROGRAMS[program][0]} import main" in file.read()
