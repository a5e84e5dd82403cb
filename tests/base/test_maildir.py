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


class TestCopy:
    """A delivery that may come again finds what it has delivered."""

    NUMBER = b"1795338307.12345"

    @pytest.fixture
    def copy(self):
        return lambda repeat=False: maildir.Copy(maildir.named(self.NUMBER), repeat)

    @pytest.fixture
    def move(self, root):
        """move(name, to): what a reader does with a message."""
        return lambda name, to: os.rename(b"new/" + name, to, src_dir_fd=root, dst_dir_fd=root)

    def count(self, box):
        return {part: len(names) for part, names in listing(box).items()}

    def test_the_name(self, box, root, copy):
        name = maildir.deliver(root, [b"text"], copy=copy())
        assert name == self.NUMBER + b"." + maildir.host() and listing(box)[b"new"] == [name]

    @pytest.mark.parametrize("repeat", [False, True])
    def test_in_new_it_is_always_found(self, box, root, copy, repeat):
        first = maildir.deliver(root, [b"te", b"xt"], copy=copy(), suffix=b",S=4")
        assert maildir.deliver(root, [b"text"], copy=copy(repeat), suffix=b",S=4") == first
        assert self.count(box) == {b"tmp": 0, b"new": 1, b"cur": 0}

    @pytest.mark.parametrize("end", [b":2,", b":2,S", b":2,RST", b",S=4,W=5:2,S", b""])
    def test_in_cur_a_repeat_finds_it(self, box, root, copy, move, end):
        name = maildir.deliver(root, [b"text"], copy=copy())
        move(name, b"cur/" + name + end)
        assert maildir.deliver(root, [b"text"], copy=copy(repeat=True)) == name + end
        assert self.count(box) == {b"tmp": 0, b"new": 0, b"cur": 1}

    @pytest.mark.parametrize("end", [b"0", b".x", b"L1"])
    def test_a_longer_name_is_another_one(self, box, root, copy, move, end):
        name = maildir.deliver(root, [b"text"], copy=copy())
        move(name, b"cur/" + name + end)
        assert maildir.deliver(root, [b"text"], copy=copy(repeat=True)) == name

    @pytest.mark.parametrize("where", [b"new/", b"cur/"])
    @pytest.mark.parametrize("other", [[b"other"], [b"tex"], [b"texts"], [b"text", b"s"], []])
    def test_another_message_with_that_name_takes_nothing_away(self, box, root, copy, move, where, other):
        name = maildir.deliver(root, other, copy=copy())
        move(name, where + name)
        second = maildir.deliver(root, [b"text"], copy=copy(repeat=True))
        assert sum(self.count(box).values()) == 2
        with open(os.open(b"new/" + second, os.O_RDONLY, dir_fd=root), "rb") as f:
            assert f.read() == b"text"

    def test_what_is_found_is_put_on_the_disk(self, root, copy, monkeypatch):
        """Whoever delivered it may have died before his fsync."""
        name = maildir.deliver(root, [b"text"], copy=copy())
        synced = []
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
        maildir.deliver(root, [b"text"], copy=copy(repeat=True))
        assert len(synced) == 1 and os.fsencode(synced[0]).endswith(b"/new/" + name)

    def test_a_reader_takes_it_just_when_the_name_is_taken(self, box, root, copy, monkeypatch):
        name = maildir.deliver(root, [b"text"], copy=copy())
        link = os.link

        def interrupted(*words, **more):
            try:
                link(*words, **more)
            finally:
                if os.path.exists(box + b"/new/" + name):
                    os.rename(box + b"/new/" + name, box + b"/cur/" + name + b":2,S")
        monkeypatch.setattr(os, "link", interrupted)
        maildir.deliver(root, [b"text"], copy=copy())
        assert self.count(box) == {b"tmp": 0, b"new": 0, b"cur": 1}

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/passwd", path)])
    def test_what_is_no_file_is_no_copy(self, box, root, copy, make):
        make(box + b"/cur/" + copy().name + b":2,S")
        assert maildir.deliver(root, [b"text"], copy=copy(repeat=True)) == copy().name

    def test_a_broken_off_attempt_leaves_its_name_in_tmp(self, box, root, copy):
        """It may still be writing: its file is left alone."""
        os.close(os.open(b"tmp/" + copy().name, os.O_CREAT | os.O_EXCL, 0o600, dir_fd=root))
        assert maildir.deliver(root, [b"text"], copy=copy(repeat=True)) == copy().name
        assert self.count(box) == {b"tmp": 1, b"new": 1, b"cur": 0}

    def test_no_listing_without_need(self, root, copy, monkeypatch):
        monkeypatch.setattr(os, "listdir", None)
        maildir.deliver(root, [b"text"], copy=copy())
