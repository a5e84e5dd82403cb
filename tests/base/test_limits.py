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


def test_memory(monkeypatch, capfd):
    monkeypatch.setitem(limits.TABLE, "here", (1 << 28, 5000))

    def work():
        limits.enter("here")
        return b"%d" % len(bytearray(1 << 29))
    assert child.result_of(work, 100) == (111, b"") and "MemoryError" in capfd.readouterr().err


ALL = resource.RLIMIT_DATA, resource.RLIMIT_NPROC, resource.RLIMIT_CORE


def at_most(*limits_):
    """The lowest; -1 is infinity."""
    return min((limit for limit in limits_ if limit is not None and limit >= 0), default=resource.RLIM_INFINITY)


@pytest.mark.parametrize("program", limits.TABLE)
@pytest.mark.parametrize("soft, hard", [(-1, -1), (1000, 2000), (1000, -1)])
def test_what_an_administrator_has_set_is_not_raised(program, soft, hard):
    def work():
        answer = []
        for which, most in zip(ALL, [*limits.TABLE[program], 0]):
            _, here = resource.getrlimit(which)
            resource.setrlimit(which, (at_most(soft, hard, here), at_most(hard, here)))
            lowest = at_most(soft, hard, here, most)
            answer.append((which, (lowest, lowest) if most is not None else resource.getrlimit(which)))
        limits.enter(program)
        return repr([(which, resource.getrlimit(which)) for which, _ in answer] == answer).encode()
    assert child.result_of(work, 1000) == (0, b"True")
