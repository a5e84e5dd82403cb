"""Limits of a process, set in a child: ours stay as they are."""
import resource

import pytest

from pyqmail.base import child, limits

DESCRIPTORS = resource.RLIMIT_NOFILE


@pytest.mark.parametrize("soft, hard, wanted, after", [
    (100, 1000, 500, 500), (100, 1000, 5000, 1000), (100, 1000, 50, 100), (1000, 1000, 2000, 1000)])
def test_descriptors(soft, hard, wanted, after):
    def work():
        resource.setrlimit(DESCRIPTORS, (soft, hard))
        limits.descriptors(wanted)
        return b"%d %d" % resource.getrlimit(DESCRIPTORS)
    assert child.result_of(work, 100) == (0, b"%d %d" % (after, hard))


def test_memory(capfd):
    def work():
        limits.memory(1 << 28)
        return b"%d" % len(bytearray(1 << 29))
    assert child.result_of(work, 100) == (111, b"") and "MemoryError" in capfd.readouterr().err
