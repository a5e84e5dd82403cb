"""Root is asked to work on the home of a user, or below a directory of his: it must not run what he put there."""
import os
import subprocess

import pytest

from pyqmail.base.errors import Temporary
from pyqmail.install import dependencies, hands, setup
from pyqmail.install.setup import check_reachable

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STRANGER = 54321


@pytest.fixture
def place(tmp_path):
    return os.path.realpath(tmp_path)


def qmailctl(*words):
    return subprocess.run([f"{ROOT}/bin/qmailctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def home_with_a_trap(place):
    os.makedirs(f"{place}/home/bin")
    program = f"{place}/home/bin/qmailctl"
    with open(program, "w", encoding="ascii") as f:
        f.write(f"#!/bin/sh\ntouch {place}/caught\n")
    os.chmod(program, 0o755)
    return f"{place}/home"


@pytest.mark.root
@pytest.mark.parametrize("theirs", ["", "home", "home/bin", "home/bin/qmailctl"])
def test_another_home_that_a_user_could_have_written(place, theirs):
    home = home_with_a_trap(place)
    os.chown(os.path.join(place, theirs), STRANGER, -1)
    done = qmailctl("stat", "--home", home)
    assert done.returncode == 111 and f"can be changed by uid {STRANGER} or others" in done.stderr
    assert not os.path.exists(f"{place}/caught")


@pytest.mark.root
def test_a_link_does_not_hide_it(place):
    os.chown(home_with_a_trap(place), STRANGER, -1)
    os.symlink("home", f"{place}/link")
    assert qmailctl("stat", "--home", f"{place}/link").returncode == 111
    assert not os.path.exists(f"{place}/caught")


@pytest.mark.root
def test_a_home_that_everybody_may_write_to(place):
    home = home_with_a_trap(place)
    os.chmod(f"{home}/bin", 0o777)
    assert qmailctl("stat", "--home", home).returncode == 111
    os.chmod(f"{home}/bin", 0o755)
    assert qmailctl("stat", "--home", home).returncode == 0 and os.path.exists(f"{place}/caught")


@pytest.mark.root
def test_directories_above_an_installation(place):
    os.chmod(place, 0o757)
    with pytest.raises(Temporary, match="can be changed by others"):
        check_reachable(f"{place}/a/b", private=True)
    os.chmod(place, 0o1757)
    check_reachable(f"{place}/a/b", private=True)
    assert hands.strangers(place) is None and hands.strangers(place, STRANGER) is None


@pytest.mark.root
def test_nothing_is_installed_below_a_users_directory(open_place):
    os.mkdir(f"{open_place}/users", 0o755)
    os.chown(f"{open_place}/users", STRANGER, -1)
    with pytest.raises(Temporary, match="can be changed by others"):
        setup.Setup(ROOT, f"{open_place}/users/home").run()
    assert not os.path.exists(f"{open_place}/users/home")


@pytest.mark.root
def test_libraries_of_a_user_are_not_shared(place, monkeypatch):
    monkeypatch.setattr(dependencies.home, "HOME", f"{place}/home")
    os.makedirs(f"{place}/home")
    os.makedirs(f"{place}/venv/lib")
    os.chown(f"{place}/venv", STRANGER, -1)
    with pytest.raises(Temporary, match="can be changed by others"):
        dependencies.share(f"{place}/venv")
    os.chown(f"{place}/venv", 0, -1)
    dependencies.share(f"{place}/venv")


def test_what_doctor_tells(place):
    os.makedirs(f"{place}/lib")
    for name, mode in (("good", 0o644), ("bad", 0o664)):
        with open(f"{place}/lib/{name}", "w", encoding="ascii"):
            os.chmod(f"{place}/lib/{name}", mode)
    os.symlink("/nonexistent", f"{place}/lib/link")
    assert list(hands.strangers_below(place)) == [f"{place}/lib/bad"]
