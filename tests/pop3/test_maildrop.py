"""A Maildir as a maildrop."""
import os

import pytest

from pyqmail.pop3 import maildrop

NOW = 1_795_000_000


@pytest.fixture
def box(tmp_path, monkeypatch):
    for part in ("tmp", "new", "cur"):
        (tmp_path / part).mkdir()
    monkeypatch.chdir(tmp_path)

    def put(name, text="x", age=100, atime=100):
        path = tmp_path / name
        path.write_text(text)
        os.utime(path, (NOW - atime, NOW - age))
        return path
    return put


def names(drop):
    return [drop.names[index] for index in range(len(drop.sizes))]


def test_oldest_first_over_both_directories(box):
    box("new/1.z", "1", 100)
    box("new/9.a", "22", 500)
    box("cur/5.m:2,", "333", 300)
    box("cur/2.b:2,S", "4444", 700)
    drop = maildrop.Maildrop(NOW)
    assert names(drop) == [b"2.b", b"9.a", b"5.m", b"1.z"]
    assert drop.sizes == [4, 2, 3, 1]


def test_equal_times_new_first_then_by_name(box):
    for name in ("cur/1.c:2,", "new/3.n", "new/2.n"):
        box(name, age=200)
    assert names(maildrop.Maildrop(NOW)) == [b"2.n", b"3.n", b"1.c"]


def test_neither_this_second_nor_hidden_nor_future(box):
    for name, age in (("new/now", 0), ("new/future", -50), ("new/.hidden", 100), ("new/seen", 1)):
        box(name, age=age)
    assert names(maildrop.Maildrop(NOW)) == [b"seen"]


def test_what_came_under_a_clock_far_ahead_is_shown(box):
    for name, age in (("new/day", -86_400), ("new/more", -86_401), ("new/years", -68 * 31_557_600), ("new/seen", 1)):
        box(name, age=age)
    assert names(maildrop.Maildrop(NOW)) == [b"seen", b"more", b"years"]


def test_update_deletes_and_moves(box):
    for name in ("new/1.a", "new/2.b", "cur/3.c:2,S", "cur/4.d:2,"):
        box(name)
    drop = maildrop.Maildrop(NOW)
    gone = {index for index in range(4) if drop.names[index] in (b"1.a", b"3.c")}
    assert drop.update(gone) == 0
    assert sorted(os.listdir("new")) == [] and sorted(os.listdir("cur")) == ["2.b:2,", "4.d:2,"]


def test_update_counts_what_it_cannot_remove(box):
    path = box("new/1.a")
    drop = maildrop.Maildrop(NOW)
    path.unlink()
    assert drop.update({0}) == 1


def test_a_move_never_overwrites(box):
    box("new/1.a", "the new one")
    box("cur/1.a:2,", "the old one")
    maildrop.Maildrop(NOW).update(set())
    assert open("cur/1.a:2,").read() == "the old one" and open("new/1.a").read() == "the new one"


def test_unscannable(box):
    os.rmdir("cur")
    with pytest.raises(OSError):
        maildrop.Maildrop(NOW)


def test_unique_names_cannot_end_their_line(box):
    box("new/evil\r\n9 fake")
    assert names(maildrop.Maildrop(NOW)) == [b"evil??9 fake"]


def test_blocks_close_their_file(box):
    box("new/1.a", "y" * 200_000)
    drop = maildrop.Maildrop(NOW)
    before = len(os.listdir("/proc/self/fd"))
    blocks = drop.open(0)
    assert len(next(blocks)) == maildrop.BLOCK
    blocks.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_stat_a_message(box, monkeypatch):
    for number in range(50):
        box(f"new/{number}.x")
    asked, stat = [], os.stat
    monkeypatch.setattr(os, "stat", lambda name, **where: asked.append(name) or stat(name, **where))
    assert len(maildrop.Maildrop(NOW).sizes) == len(asked) == 50
