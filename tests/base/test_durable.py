import ctypes
import errno
import os

import pytest

from pyqmail.base import durable


class Libc:
    """A libc whose sync_file_range answers `result`."""

    def __init__(self, result=0):
        self.flushed = []

        def sync_file_range(fd, *_):
            self.flushed.append(fd)
            return result
        self.sync_file_range = sync_file_range


@pytest.fixture
def files(tmp_path):
    """Three descriptors of one file system."""
    fds = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in "abc"]
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture
def disk(monkeypatch, files):
    """disk(journal, result): best(), on a file system with or without a journal; .flushed, .synced."""
    def make(journal, result=0):
        libc, synced = Libc(result), []
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
        monkeypatch.setattr(os, "fsync", synced.append)
        found = durable.best()
        monkeypatch.setattr(durable, "_known", {os.fstat(files[0]).st_dev: journal})
        found.flushed, found.synced = libc.flushed, synced
        return found
    return make


@pytest.mark.parametrize("journal, result, flushed, synced", [(True, 0, 1, 0), (True, -1, 1, 1), (False, 0, 0, 1)])
def test_only_a_journal_does_without_fsync(disk, files, journal, result, flushed, synced):
    found = disk(journal, result)
    found.flush(files[0])
    assert (found.flushed, found.synced) == ([files[0]] * flushed, [files[0]] * synced)


def test_one_commit_for_many_where_there_is_a_journal(disk, files):
    found = disk(True)
    os.utime(files[2], (1, 1))
    found.commit(files)
    assert found.synced == [files[2]] and os.fstat(files[2]).st_mtime > 1      # touched: it is the last change
    found.commit([])
    assert found.synced == [files[2]]


def test_a_commit_each_where_there_is_none(disk, files):
    found = disk(False)
    found.commit(files)
    assert found.synced == files


@pytest.mark.parametrize("journal", [True, False])
def test_old_names_went_along_with_the_contents(disk, files, journal):
    found = disk(journal)
    found.commit(files, new_names=False)
    assert found.synced == files[2:] * journal


@pytest.mark.parametrize("journal, elsewhere, synced", [(True, False, 0), (True, True, 1), (False, False, 0),
                                                        (False, True, 0)])
def test_a_journal_keeps_the_order_by_itself(disk, files, journal, elsewhere, synced):
    """A commit is needed where what follows is in another one; without a journal flush() has done it."""
    found = disk(journal)
    found.before(files, os.fstat(files[0]).st_dev + elsewhere)
    assert found.synced == files[2:] * synced


def test_a_commit_for_each_journal(disk, files, monkeypatch):
    found, fstat = disk(True), os.fstat
    other = fstat(files[0]).st_dev + 1

    class Stat:
        st_dev = other
    monkeypatch.setattr(os, "fstat", lambda fd: Stat if fd == files[1] else fstat(fd))
    durable._known[other] = True
    found.commit(files)
    assert found.synced == [files[2], files[1]]
    found.synced.clear()
    found.before(files, fstat(files[0]).st_dev)
    assert found.synced == [files[2], files[1]]
    found.synced.clear()
    durable._known[other] = False
    found.commit(files)
    assert sorted(found.synced) == sorted(files[1:])


def test_a_descriptor_that_cannot_be_flushed(tmp_path):
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError) as caught:
            durable.data_flusher()(writer)
        assert caught.value.errno == errno.EINVAL
    finally:
        os.close(reader)
        os.close(writer)


MOUNTS = """\
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
28 27 254:1 / /home rw - ext4 /dev/vdb rw
29 27 254:2 / /full rw - ext4 /dev/vdc rw,data=journal
30 27 8:1 /a\\040b /x rw master:1 - xfs /dev/sda1 rw,attr2
31 27 0:30 / /b rw - btrfs /dev/sdb rw
32 27 8:3 / /old rw - ext2 /dev/sdc rw
33 27 7:0 / /loop rw - ext4 /dev/loop0 rw
strange
"""


def test_what_has_a_journal(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "_known", {})
    monkeypatch.setattr(durable, "MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(durable, "SYS", tmp_path)
    (tmp_path / "mounts").write_text(MOUNTS)
    for number, name, task in (("254:0", "vda", "<none>"), ("254:1", "vdb", "312"), ("254:2", "vdc", "313"),
                               ("8:3", "sdc", "<none>")):
        (tmp_path / "dev/block").mkdir(parents=True, exist_ok=True)
        (tmp_path / "dev/block" / number).symlink_to(f"../../devices/{name}")
        (tmp_path / "fs/ext4" / name).mkdir(parents=True)
        (tmp_path / "fs/ext4" / name / "journal_task").write_text(f"{task}\n")
    durable.look_around()
    assert durable._known == {os.makedev(254, 0): False, os.makedev(254, 1): True, os.makedev(254, 2): False,
                              os.makedev(8, 1): True, os.makedev(0, 30): False, os.makedev(8, 3): False,
                              os.makedev(7, 0): False}


def test_who_cannot_see_what_is_mounted_takes_no_chances(monkeypatch, files):
    monkeypatch.setattr(durable, "_known", {})
    monkeypatch.setattr(durable, "MOUNTS", "/nowhere")
    assert durable.has_journal(files[0]) is False
