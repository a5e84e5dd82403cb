"""Insertion: the states it passes through, its exit codes, and what it leaves behind."""
import errno
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyqmail.base import durable
from pyqmail.queue import insert, names

WHO = insert.Caller(uid=1234, gid=os.getgid(), qp=77, who=b"by uid 1234")


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A bare queue as working directory."""
    for name in ("pid", "intd", "todo", "lock"):
        (tmp_path / name).mkdir()
    for part in range(names.SPLIT):
        (tmp_path / "mess" / str(part)).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    old = os.umask(0o033)
    yield tmp_path
    os.umask(old)


def pipe_with(data):
    """A descriptor that delivers data and then its end."""
    reader, writer = os.pipe()
    assert os.write(writer, data) == len(data)
    os.close(writer)
    return reader


def submit(message, envelope, disk=None, groups=()):
    """As the queue service does it, and as bin/qmail-queue: both have the same outcome."""
    if disk or groups:
        files = insert.insert_whole(message, envelope, WHO, groups)
        insert.commit([files], disk or durable.Disk())
        files.close()
        if files.code:
            raise insert.Refused(files.code)
        return files.number
    fds = pipe_with(message), pipe_with(envelope)
    try:
        return insert.insert(*fds, WHO)
    finally:
        for fd in fds:
            os.close(fd)


def left(queue):
    """Names of all files below the queue."""
    return sorted(str(path.relative_to(queue)) for path in queue.rglob("*") if path.is_file())


def test_a_message_is_queued_under_its_inode_number(queue):
    number = submit(b"Subject: hi\n\nbody\n", b"Fs@a\0Tr@b\0Tt@c\0\0ignored")
    mess = queue / names.split("mess", number)
    assert mess.stat().st_ino == number
    assert left(queue) == sorted([f"intd/{number}", f"mess/{number % 23}/{number}", f"todo/{number}"])
    assert (queue / f"todo/{number}").read_bytes() == b"u1234\0p77\0Fs@a\0Tr@b\0Tt@c\0"
    assert (queue / f"todo/{number}").stat().st_nlink == 2
    assert stat.S_IMODE(mess.stat().st_mode) == 0o644
    first, _, rest = mess.read_bytes().partition(b"\n")
    assert first.startswith(b"Received: (qmail 77 invoked by uid 1234); ") and first.endswith(b" -0000")
    assert rest == b"Subject: hi\n\nbody\n"


def test_received_line_is_utc_with_a_plain_day():
    assert insert.received(insert.Caller(0, 0, 5, b"from network"), 5 * 86400 + 3661) == (
        b"Received: (qmail 5 invoked from network); 6 Jan 1970 01:01:01 -0000\n")


@pytest.mark.parametrize("uid, words", [(1, b"by alias"), (2, b"from network"), (3, b"for bounce"), (9, b"by uid 9")])
def test_who_invoked(uid, words):
    assert insert.invoked(uid, {1: "alias", 2: "qmaild", 3: "qmails", 4: "qmailq"}) == words


@pytest.mark.parametrize("envelope, code, kept", [
    (b"", 54, False), (b"F", 54, False), (b"Fs", 54, False), (b"Fs\0", 54, False), (b"Fs\0T", 54, False),
    (b"Fs\0Tr\0", 54, False), (b"\0", 91, True), (b"X", 91, True), (b"Fs\0X", 91, True), (b"Fs\0Fs\0\0", 91, True),
    (b"F" + b"s" * 1003 + b"\0\0", 11, True), (b"Fs\0T" + b"r" * 1003 + b"\0\0", 11, True),
    (b"F" + b"s" * 5000, 11, True)])
def test_bad_envelopes(queue, envelope, code, kept):
    with pytest.raises(insert.Refused) as refused:
        submit(b"m", envelope)
    assert refused.value.code == code
    assert [name.split("/")[0] for name in left(queue)] == (["intd", "mess"] if kept else [])


@pytest.mark.parametrize("envelope", [b"Fs\0\0", b"F\0\0", b"Fs\0T\0\0", b"F" + b"s" * 1002 + b"\0T" + b"r" * 1002 + b"\0\0"])
def test_accepted_envelopes(queue, envelope):
    number = submit(b"m", envelope)
    assert (queue / f"todo/{number}").read_bytes() == b"u1234\0p77\0" + envelope[:-1]


@pytest.mark.parametrize("missing, code, kept", [
    ("pid", 63, []), ("mess", 64, ["pid"]), ("intd", 65, ["mess"]), ("todo", 66, ["intd", "mess"])])
def test_missing_directories(queue, missing, code, kept):
    os.rename(missing, "elsewhere")
    with pytest.raises(insert.Refused) as refused:
        submit(b"m", b"Fs\0Tr\0\0")
    assert refused.value.code == code
    assert [name.split("/")[0] for name in left(queue)] == kept


@pytest.mark.parametrize("call, name, code", [
    ("link", "mess/", 64), ("open", "intd/", 65), ("link", "todo/", 66)])
def test_where_there_is_no_room_nothing_takes_room(queue, monkeypatch, call, name, code):
    """A full disk must not stay full for 36 hours with what was refused."""
    real = getattr(os, call)

    def full(*arguments, **options):
        if any(str(argument).startswith(name) for argument in arguments):
            raise OSError(errno.ENOSPC, "full")
        return real(*arguments, **options)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(insert.Refused) as refused:
        submit(b"m", b"Fs\0Tr\0\0")
    monkeypatch.undo()
    assert refused.value.code == code
    assert left(queue) == []


def test_a_message_that_cannot_be_read(queue):
    directory = os.open("/", os.O_RDONLY)
    envelope = pipe_with(b"Fs\0Tr\0\0")
    with pytest.raises(insert.Refused) as refused:
        insert.insert(directory, envelope, WHO)
    assert refused.value.code == insert.READ_ERROR
    assert left(queue) == []
    os.close(directory)
    os.close(envelope)


def test_todo_appears_only_after_both_files_are_on_the_disk(queue, monkeypatch):
    """The invariant of the module, step by step: nothing in todo before both are flushed,
    and an fsync of intd after the link."""
    steps = []
    real_link, real_fsync = os.link, os.fsync

    def name_of(fd):                    # mess was opened by its first name, in pid
        name = os.readlink(f"/proc/self/fd/{fd}").split("/")[len(str(queue).split("/"))]
        return "mess" if name == "pid" else name
    monkeypatch.setattr(os, "link", lambda a, b: (steps.append("link " + b.split("/")[0]), real_link(a, b)))
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("fsync " + name_of(fd)), real_fsync(fd)))
    disk = durable.Disk()
    disk.flush = lambda fd: steps.append("flush " + name_of(fd))
    submit(b"m", b"Fs\0Tr\0\0", disk=disk)
    assert steps == ["link mess", "flush intd", "flush mess", "link todo", "fsync intd"]


@pytest.mark.parametrize("failing", ["flush", "fsync"])
def test_a_failing_sync_accepts_nothing(queue, monkeypatch, failing):
    def full(fd):
        raise OSError(28, "No space left on device")
    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    disk = durable.Disk()
    disk.flush = full if failing == "flush" else lambda fd: None
    with pytest.raises(insert.Refused) as refused:
        submit(b"m", b"Fs\0Tr\0\0", disk=disk)
    assert refused.value.code == insert.WRITE_ERROR
    assert failing == "fsync" or left(queue) == []      # a name that may be on the disk already stays


def test_pid_names_that_exist_are_passed_over(queue, monkeypatch):
    monkeypatch.setattr(insert.time, "time", lambda: 1000.5)
    for attempt in range(1, 9):
        (queue / f"pid/77.1000.{attempt}").touch()
    submit(b"m", b"Fs\0Tr\0\0")
    (queue / "pid/77.1000.9").touch()
    with pytest.raises(insert.Refused) as refused:
        submit(b"m", b"Fs\0Tr\0\0")
    assert refused.value.code == 63


def test_the_group_is_the_callers_only_where_we_may(queue, monkeypatch):
    given_away = []
    monkeypatch.setattr(os, "fchown", lambda fd, uid, gid: given_away.append((uid, gid)))
    submit(b"m", b"Fs\0Tr\0\0", groups=frozenset({WHO.gid + 1}))
    assert given_away == []
    submit(b"m", b"Fs\0Tr\0\0", groups=frozenset({WHO.gid}))
    assert given_away == [(-1, WHO.gid)] * 2


ADDRESS = st.binary(max_size=1002).map(lambda raw: raw.replace(b"\0", b""))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sender=ADDRESS, recipients=st.lists(ADDRESS, max_size=5), cuts=st.lists(st.integers(1, 700), max_size=8))
def test_any_envelope_in_any_pieces(sender, recipients, cuts):
    """The records come out whole and in order, however they arrive."""
    data = b"F" + sender + b"\0" + b"".join(b"T" + r + b"\0" for r in recipients) + b"\0trailing"
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    pieces = [piece for piece in pieces if piece] + [data, b""]
    reader, got = insert.Records(), b""
    while not reader.done:
        got += reader.feed(pieces.pop(0))
    assert got == b"F" + sender + b"\0" + b"".join(b"T" + r + b"\0" for r in recipients)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_garbage_is_refused_or_read_never_more(data):
    pieces, reader, got = [piece for piece in (data[:7], data[7:]) if piece] + [b""], insert.Records(), b""
    try:
        while not reader.done:
            got += reader.feed(pieces.pop(0))
    except insert.Refused as why:
        assert why.code in (11, 54, 91)
    else:
        assert data.startswith(got + b"\0") and got[:1] == b"F"
