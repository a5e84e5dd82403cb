"""A sample of `python -m tests.death`: every program dies, or is refused something, where it matters most."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.death import sweeps
from tests.death.lives import Place
from tests.system.conftest import make_system, people     # noqa: F401

pytestmark = [pytest.mark.root, pytest.mark.system]

DEATHS = {
    "qmail-smtpd": ("recvfrom socket", "connect", "sendto socket"),
    "queue service": ("link mess/", "openat intd/", "fsync", "link.* todo/", "openat lock/trigger", "sendto"),
    "queue service, 4 at once": ("sync_file_range", "fsync", "link.* todo/"),
    "queue service's guardian": ("clone", "wait4"),
    "queue service, both at once": ("link.* todo/",),
    "qmail-queue": ("link.* todo/", "exit_group"),
    "qmail-queue, a client": ("sendto", "exit_group"),
    "qmail-qmtpd": ("sendto",),
    "qmail-send": ("unlink.* local/", "openat local/", "fsync .*/remote/", "pwrite64 .*/local/", "unlink.* local/",
                   "openat bounce/", "write .*/bounce/", "unlink.* bounce/", "unlink.* info/"),
    "qmail-send, 4 at once": ("openat info/", "fsync", "sync_file_range"),
    "qmail-clean": ("unlink.* intd/", "unlink.* todo/", "unlink.* mess/", "write pipe"),
    "qmail-lspawn": ("openat [0-9]+/", "sendmsg", "write pipe"),
    "look-ups": ("recvfrom", "sendto"),
    "warm qmail-local": ("openat tmp/", "write .*/tmp/", "linkat? new/", "unlink.* tmp/", "sendto"),
    "cold qmail-local": ("execve", "linkat? new/", "exit_group"),
    "qmail-rspawn": ("connect", "sendto", "write pipe"),
    "qmail-rspawn, kept connections": ("sendto", "recvfrom"),
    "cold qmail-remote": ("execve", "exit_group"),
    "qmail-pop3d": ("unlink", "write socket", "exit_group"),
}
ERRORS = {
    "queue service": (("ENOSPC", "openat pid/"), ("ENOSPC", "write .*/pid/"), ("EDQUOT", "link.* todo/"),
                      ("EIO", "fsync")),
    "qmail-send": (("EIO", "openat todo/"), ("ENOSPC", "openat info/"), ("ENOSPC", "write .*/bounce/"),
                   ("EIO", "unlink.* info/")),
    "qmail-clean": (("EIO", "unlink.* todo/"),),
    "warm qmail-local": (("ENOSPC", "write .*/tmp/"), ("EDQUOT", "linkat? new/"), ("EIO", "fsync")),
    "qmail-lspawn": (("EMFILE", "openat [0-9]+/"),),
    "qmail-rspawn": (("EMFILE", "socket"), ("EIO", "pread64 .*/mess/")),
}


@pytest.fixture(scope="module")
def places(make_system, people):    # noqa: F811
    found = [Place(make_system(), people) for _ in range(2)]
    yield found
    for place in found:
        place.close()


@pytest.mark.parametrize("role", DEATHS)
def test_death(places, role):
    accounted(places, role, [(None, call) for call in DEATHS[role]])


@pytest.mark.parametrize("role", ERRORS)
def test_errors(places, role):
    accounted(places, role, ERRORS[role])


def accounted(places, role, points):
    """At the first of such calls it happens, and whatever had been acknowledged is there. The places work side by
    side."""
    with ThreadPoolExecutor(len(places)) as pool:
        shares = [pool.submit(lambda place=place, share=points[at::len(places)]: [
            sweeps.attempt(place, role, 1, error, call) for error, call in share]) for at, place in enumerate(places)]
        results = [result for share in shares for result in share.result()]
    assert all(result.hit for result in results), [str(result) for result in results]
    assert not any(result.problems for result in results), "\n".join(map(str, results))
