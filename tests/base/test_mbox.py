import errno
import fcntl
import os
import signal

import pytest
from hypothesis import example, given, settings, strategies as st

from pyqmail.base import deadline, mbox


def quoted(*pieces):
    return b"".join(mbox.quoted(pieces))


@pytest.mark.parametrize("text, result", [
    (b"", b"\n"),
    (b"a\n", b"a\n\n"),
    (b"a", b"a\n\n"),
    (b"From ", b">From \n\n"),
    (b"From", b"From\n\n"),
    (b"From x\nFrom y\n", b">From x\n>From y\n\n"),
    (b">From x\n>>From y\n", b">>From x\n>>>From y\n\n"),
    (b"> From x\n From y\nxFrom z\n", b"> From x\n From y\nxFrom z\n\n"),
    (b"Fromage\nfrom a\nFROM b\n", b"Fromage\nfrom a\nFROM b\n\n"),
    (b"From From From a\n", b">From From From a\n\n"),
    (b"a\r\nFrom b\rFrom c\n", b"a\r\n>From b\rFrom c\n\n"),
    (b"\0\nFrom \0\n", b"\0\n>From \0\n\n"),
    (b">>>>\nFrom\nFrom \n", b">>>>\nFrom\n>From \n\n"),
])
def test_quoting(text, result):
    assert quoted(text) == result


def model(text):
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return b"".join(b">" * line.lstrip(b">").startswith(b"From ") + line + b"\n" for line in lines) + b"\n"


TEXT = st.lists(st.sampled_from([b"From ", b"From", b"Fr", b" ", b">", b"\n", b"x", b"om "]), max_size=20).map(b"".join)


@given(TEXT, st.lists(st.integers(0, 60), max_size=8))
@example(b">>>From x", [1, 2, 3, 4, 5, 6, 7, 8])
@settings(max_examples=300)
def test_pieces_make_no_difference(text, cuts):
    cuts = sorted(cut for cut in cuts if cut <= len(text))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
    assert quoted(*pieces) == model(text)


def test_memory_is_bounded_by_the_piece():
    for row in (b">", b"From ", b"F"):
        pieces = (row * 1000 for _ in range(100))
        assert max(map(len, mbox.quoted(pieces))) <= 6000


@pytest.fixture
def box(tmp_path):
    path = tmp_path / "Mailbox"
    path.write_bytes(b"old\n\n")
    fd = mbox.open_append(path)
    yield path, fd
    os.close(fd)


def test_append(box):
    path, fd = box
    mbox.append(fd, b"From a\n", [b"x\n", b"From b"])
    assert path.read_bytes() == b"old\n\nFrom a\nx\n>From b\n\n"


def test_a_small_message_is_one_write(box, monkeypatch):
    writes, write = [], os.write
    monkeypatch.setattr(os, "write", lambda fd, data: (writes.append(len(data)), write(fd, data))[1])
    mbox.append(box[1], b"From a\n", [b"x\n" * 1000])
    assert writes == [2008]


def test_a_failed_write_is_taken_back(box, monkeypatch):
    path, fd = box
    write = os.write

    def full(fd, data):
        if len(data) > 10:
            return write(fd, data[:10])
        raise OSError(errno.ENOSPC, "")
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError):
        mbox.append(fd, b"From a\n", [b"0123456\n"])
    assert path.read_bytes() == b"old\n\n"


def test_an_unreadable_message_is_taken_back(box):
    path, fd = box

    def pieces():
        yield b"x" * (mbox.WRITE_SIZE + 1)
        assert path.stat().st_size > mbox.WRITE_SIZE
        raise ValueError("unreadable")
    with pytest.raises(ValueError):
        mbox.append(fd, b"From a\n", pieces())
    assert path.read_bytes() == b"old\n\n"


def test_without_a_lock_nothing_is_cut_off(box, monkeypatch):
    """Somebody else may have appended meanwhile."""
    path, fd = box
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "")))

    def fail(fd):
        raise OSError(errno.EIO, "")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        mbox.append(fd, b"From a\n", [b"x\n"])
    assert path.read_bytes() == b"old\n\nFrom a\nx\n\n"


def test_a_lock_of_somebody_else_ends_it(box, monkeypatch):
    path, fd = box
    other = os.open(path, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    flock = fcntl.flock

    def waiting(fd, how):               # the alarm rings as soon as somebody waits
        if not how & fcntl.LOCK_NB:
            assert 0 < signal.alarm(0) <= mbox.PATIENCE
            os.kill(os.getpid(), signal.SIGALRM)
        flock(fd, how)
    monkeypatch.setattr(fcntl, "flock", waiting)
    try:
        with pytest.raises(deadline.Expired):
            mbox.append(fd, b"From a\n", [b"x\n"])
    finally:
        os.close(other)
    assert path.read_bytes() == b"old\n\n"


def test_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError) as caught:
        mbox.open_append(tmp_path / "fifo")
    assert caught.value.errno == errno.ENXIO
