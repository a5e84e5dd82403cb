import ctypes
import errno
import os

import pytest

from pyqmail.base import durable


class Libc:
    """A libc whose file system is of `kind` and whose sync_file_range answers `result`."""

    def __init__(self, kind, result=0):
        self.flushed = []

        def fstatfs(fd, about):
            about[0] = kind
            return 0

        def sync_file_range(fd, *_):
            self.flushed.append(fd)
            return result
        self.fstatfs, self.sync_file_range = fstatfs, sync_file_range


@pytest.mark.parametrize("kind, result, flushed, synced", [
    (0xEF53, 0, [7], []),
    (0x58465342, 0, [7], []),
    (0xEF53, -1, [7], [7]),
    (0x9123683E, 0, [], [7]),       # btrfs
    (0x6969, 0, [], [7]),           # NFS
])
def test_only_ordered_file_systems_do_without_fsync(monkeypatch, kind, result, flushed, synced):
    libc, syncs = Libc(kind, result), []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    monkeypatch.setattr(os, "fsync", syncs.append)
    durable.data_flusher()(7)
    assert (libc.flushed, syncs) == (flushed, synced)


def test_a_descriptor_that_cannot_be_flushed(tmp_path):
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError) as caught:
            durable.data_flusher()(writer)
        assert caught.value.errno == errno.EINVAL
    finally:
        os.close(reader)
        os.close(writer)
