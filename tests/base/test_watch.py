"""A watched directory: every change of a file in it shows, reading does not."""
import os

import pytest

from pyqmail.base import cached, watch


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "me").write_text("a.example\n")
    (tmp_path / "other").write_text("x\n")
    return tmp_path


CHANGES = {
    "written": lambda path: (path / "me").write_text("b.example\n"),
    "replaced": lambda path: os.rename(path / "other", path / "me"),
    "removed": lambda path: (path / "me").unlink(),
    "new": lambda path: (path / "rcpthosts").touch(),
    "shut": lambda path: (path / "me").chmod(0),
    "dated": lambda path: os.utime(path / "me", (1, 1)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_changes_are_noticed_once(directory, what):
    watched = watch.Watch(directory)
    assert not watched.changed()
    CHANGES[what](directory)
    assert watched.changed() and not watched.changed()


def test_reading_is_no_change(directory):
    watched = watch.Watch(directory)
    (directory / "me").read_text()
    os.listdir(directory)
    assert not watched.changed()


def test_no_directory(directory):
    with pytest.raises(FileNotFoundError):
        watch.Watch(directory / "nothing")


@pytest.fixture
def made(directory, monkeypatch):
    """A watched Cached of the file me, and a clock that stands still: (current(), clock)."""
    monkeypatch.setattr(cached.home, "path", lambda *words: str(directory.joinpath(*words[1:])))
    clock = [1000.0]
    monkeypatch.setattr(cached.time, "monotonic", lambda: clock[0])
    return cached.Cached(["me"], lambda: (directory / "me").read_text(), watched=True), clock


def test_a_change_counts_at_once(directory, made):
    settings, _ = made
    assert settings.current() == settings.current() == "a.example\n"
    (directory / "me").write_text("bb.example\n")
    assert settings.current() == "bb.example\n"


def test_files_are_not_looked_at_while_nothing_happens(directory, made, monkeypatch):
    settings, clock = made
    settings.current()
    looked = []
    monkeypatch.setattr(cached.filemark, "of", lambda path: looked.append(path))
    settings.current()
    assert looked == []
    clock[0] += cached.BELIEVED
    settings.current()
    assert len(looked) == 1


def test_a_change_elsewhere_counts_within_a_second(directory, made, tmp_path_factory):
    """Behind a symbolic link, or on a file system of the network."""
    far = tmp_path_factory.mktemp("far") / "me"
    far.write_text("far.example\n")
    (directory / "me").unlink()
    (directory / "me").symlink_to(far)
    settings, clock = made
    assert settings.current() == "far.example\n"
    far.write_text("farther.example\n")
    clock[0] += cached.BELIEVED
    assert settings.current() == "farther.example\n"


def test_an_error_lasts_as_long_as_its_cause(directory, made):
    settings, _ = made
    settings.current()
    (directory / "me").rename(directory / "away")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            settings.current()
    (directory / "away").rename(directory / "me")
    assert settings.current() == "a.example\n"
