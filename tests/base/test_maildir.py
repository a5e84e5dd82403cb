import errno
import os

import pytest

from pyqmail.base import maildir


@pytest.fixture
def box(tmp_path):
    directory = os.fsencode(tmp_path / "Maildir")
    maildir.make(directory)
    return directory


@pytest.fixture
def root(box):
    fd = maildir.enter(box)
    yield fd
    os.close(fd)


def listing(box):
    return {part: os.listdir(box + b"/" + part) for part in maildir.SUBDIRECTORIES}


def test_make(box):
    assert listing(box) == {b"tmp": [], b"new": [], b"cur": []}
    assert all(os.stat(box + b"/" + part).st_mode & 0o777 == 0o700 for part in (b"", b"tmp", b"new", b"cur"))


@pytest.mark.parametrize("there, named", [(b"", b""), (b"/new", b"/new")])
def test_make_says_what_it_could_not(tmp_path, monkeypatch, there, named):
    directory, mkdir = os.fsencode(tmp_path / "M"), os.mkdir

    def failing(path, mode):
        if path == directory + there:
            raise FileExistsError(errno.EEXIST, "", path)
        mkdir(path, mode)
    monkeypatch.setattr(os, "mkdir", failing)
    with pytest.raises(FileExistsError) as caught:
        maildir.make(directory)
    assert caught.value.filename == directory + named


def test_deliver(box, root):
    name = maildir.deliver(root, [b"one\n", b"", b"two\n"])
    assert listing(box) == {b"tmp": [], b"new": [name], b"cur": []}
    with open(box + b"/new/" + name, "rb") as f:
        assert f.read() == b"one\ntwo\n"
        assert os.fstat(f.fileno()).st_mode & 0o777 == 0o600
        assert os.fstat(f.fileno()).st_nlink == 1


def test_name(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: type("Uname", (), {"nodename": "a/b:c.example"}))
    monkeypatch.setattr(os, "getpid", lambda: 4711)
    monkeypatch.setattr(os, "urandom", lambda size: b"\xff" * size)
    monkeypatch.setattr(maildir.time, "time_ns", lambda: 1795338307_000042_999)
    assert maildir.name() == b"1795338307.00004200047114294967295.a\\057b\\072c.example"


def test_names_sort_as_the_messages_came(monkeypatch):
    clock = iter(range(1795338307_999_998_000, 1795338308_000_002_000, 1000))
    monkeypatch.setattr(maildir.time, "time_ns", lambda: next(clock))
    names = [maildir.name() for _ in range(4)]
    assert names == sorted(names)


def test_contents_then_name_then_sync(box, root, monkeypatch):
    """The order that a power cut may interrupt anywhere."""
    steps = []

    def flush(fd):
        steps.append(("contents on disk", os.fstat(fd).st_size, os.listdir(box + b"/new")))

    def commit(fd):
        steps.append(("commit", os.fstat(fd).st_nlink, os.listdir(box + b"/tmp")))

    def noted(name):
        function = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, **k: (steps.append(name), function(*a, **k)))
    noted("link")
    noted("unlink")
    monkeypatch.setattr(os, "fsync", commit)
    maildir.deliver(root, [b"x" * 10, b"y" * 5], flush)
    assert steps == [("contents on disk", 15, []), "link", "unlink", ("commit", 1, [])]


@pytest.mark.parametrize("function", ["write", "link", "fsync"])
def test_a_failure_leaves_nothing(box, root, monkeypatch, function):
    def fail(*_, **__):
        raise OSError(errno.EIO, "")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError):
        maildir.deliver(root, [b"text"], flush=lambda fd: None)
    assert listing(box) == {b"tmp": [], b"new": [], b"cur": []}


def test_a_failing_source_leaves_nothing(box, root):
    def pieces():
        yield b"begin"
        raise ValueError("unreadable")
    with pytest.raises(ValueError):
        maildir.deliver(root, pieces())
    assert listing(box) == {b"tmp": [], b"new": [], b"cur": []}


def test_tmp_that_cannot_be_cleaned_is_no_failure(box, root, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "")
    monkeypatch.setattr(os, "unlink", fail)
    name = maildir.deliver(root, [b"text"])
    assert listing(box)[b"new"] == [name]


@pytest.mark.parametrize("made, error", [("file", NotADirectoryError), ("none", FileNotFoundError)])
def test_enter(tmp_path, made, error):
    if made == "file":
        (tmp_path / made).write_bytes(b"")
    with pytest.raises(error):
        maildir.enter(os.fsencode(tmp_path / made))


NOW = 2_000_000_000


@pytest.fixture
def inside(box, monkeypatch):
    """put(name, age, atime_age): a file in the Maildir, which is the current directory, so many seconds old at NOW."""
    monkeypatch.chdir(os.fsdecode(box))

    def put(name, age=1000, atime_age=None):
        with open(name, "wb"):
            pass
        os.utime(name, (NOW - (age if atime_age is None else atime_age), NOW - age))
    return put


def test_clean_removes_what_nobody_looks_at(inside):
    inside("tmp/old", atime_age=maildir.STALE + 1)
    inside("tmp/young", age=10 ** 6, atime_age=maildir.STALE)
    inside("tmp/.hidden", age=10 ** 6)
    maildir.clean(NOW)
    assert sorted(os.listdir("tmp")) == [".hidden", "young"]


def test_scan_gives_the_oldest_first(inside):
    inside("new/b", 20)
    inside("new/a", 20)
    inside("cur/c:2,S", 30)
    inside("cur/.hidden")
    inside("new/this-second", 0)
    inside("new/future", -5)
    assert maildir.scan((b"new", b"cur"), NOW) == [
        (NOW - 30, b"cur/c:2,S"), (NOW - 20, b"new/a"), (NOW - 20, b"new/b")]
    assert maildir.scan((b"new",), NOW) == [(NOW - 20, b"new/a"), (NOW - 20, b"new/b")]


def test_scan_says_which_directory(inside):
    os.rmdir("cur")
    with pytest.raises(FileNotFoundError) as failed:
        maildir.scan((b"new", b"cur"), NOW)
    assert failed.value.filename == b"cur"
