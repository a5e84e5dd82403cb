"""Manual pages are linked to where man looks, and never over somebody else's."""
import os

import pytest

from pyqmail.base import home
from pyqmail.install import manual


@pytest.fixture
def pages(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path / "home"))
    for name in ("man1/forward.1", "man5/mbox.5", "man8/qmail-send.8"):
        path = tmp_path / "home/man" / name
        path.parent.mkdir(parents=True)
        path.write_text(f".\\\" {name}\n")
    return tmp_path


def link(pages):
    told = []
    manual.link(told.append, str(pages / "own"), str(pages / "packages"))
    return told


def test_every_page_is_linked_once(pages):
    assert link(pages) == [f"made links to 3 manual pages in {pages}/own"]
    assert os.path.realpath(pages / "own/man8/qmail-send.8") == str(pages / "home/man/man8/qmail-send.8")
    assert link(pages) == []


def test_pages_of_others_stay(pages):
    (pages / "own/man1").mkdir(parents=True)
    (pages / "own/man1/forward.1").write_text("mine")
    (pages / "packages/man5").mkdir(parents=True)
    (pages / "packages/man5/mbox.5.gz").write_bytes(b"")
    first, second = link(pages)
    assert first.startswith("made links to 1 manual pages") and "have mbox.5;" in second
    assert (pages / "own/man1/forward.1").read_text() == "mine"
    assert not os.path.lexists(pages / "own/man5/mbox.5")
