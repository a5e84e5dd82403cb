"""Limits of a process, set in a child: ours stay as they are."""
import os
import resource

import pytest

from pyqmail.base import child, limits

DESCRIPTORS = resource.RLIMIT_NOFILE
NOBODY, CAP_SYS_RESOURCE = 65534, 24


@pytest.mark.parametrize("soft, hard, wanted, after", [
    (100, 1000, 500, 500), (100, 1000, 5000, 1000), (100, 1000, 50, 100), (1000, 1000, 2000, 1000)])
def test_descriptors(soft, hard, wanted, after):
    def work():
        resource.setrlimit(DESCRIPTORS, (soft, hard))
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        limits.descriptors(wanted)
        return b"%d %d" % resource.getrlimit(DESCRIPTORS)
    assert child.result_of(work, 100) == (0, b"%d %d" % (after, hard))


@pytest.mark.root
def test_root_raises_the_hard_limit():
    with open("/proc/self/status", encoding="ascii") as f:
        rights = next(int(line.split()[1], 16) for line in f if line.startswith("CapEff:"))
    if not rights >> CAP_SYS_RESOURCE & 1:
        pytest.skip("root without CAP_SYS_RESOURCE")
    with open("/proc/sys/fs/nr_open", encoding="ascii") as f:
        most = int(f.read())

    def work():
        resource.setrlimit(DESCRIPTORS, (100, 1000))
        limits.descriptors(5000)
        limits.descriptors(most + 1)        # nobody may have that many
        return b"%d %d" % resource.getrlimit(DESCRIPTORS)
    assert child.result_of(work, 100) == (0, b"5000 5000")


def test_memory(capfd):
    def work():
        limits.memory(1 << 28)
        return b"%d" % len(bytearray(1 << 29))
    assert child.result_of(work, 100) == (111, b"") and "MemoryError" in capfd.readouterr().err
