"""Maildir names must not repeat, even when pid and second do: two mails would become one."""
import os

import pytest

from pyqmail.base import maildir


@pytest.fixture
def root(tmp_path, monkeypatch):
    directory = os.fsencode(tmp_path / "Maildir")
    maildir.make(directory)
    monkeypatch.setattr(maildir.time, "time_ns", lambda: 1795338307_500_000_000)
    monkeypatch.setattr(os, "getpid", lambda: 7)        # as in two containers that share a host name
    fd = maildir.enter(directory)
    yield fd
    os.close(fd)


def messages(root, part="new"):
    fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def test_same_pid_and_second(root):
    names = {maildir.deliver(root, [b"%d" % number]) for number in range(200)}
    assert len(names) == len(messages(root)) == 200


def test_also_after_the_reader_has_moved_the_first_away(root):
    """Then nothing in tmp/ or new/ shows that the name was used; cur/ is the reader's."""
    first = maildir.deliver(root, [b"one"])
    os.rename(b"new/" + first, b"cur/" + first + b":2,S", src_dir_fd=root, dst_dir_fd=root)
    assert maildir.deliver(root, [b"two"]) != first


def taken(monkeypatch, *numbers):
    given = iter(numbers)
    monkeypatch.setattr(os, "urandom", lambda size: next(given).to_bytes(size, "big"))


def test_a_name_taken_in_tmp_is_left_alone(root, monkeypatch):
    taken(monkeypatch, 1, 1, 2)
    other = b"tmp/" + maildir.name()
    os.close(os.open(other, os.O_CREAT | os.O_EXCL, 0o600, dir_fd=root))
    name = maildir.deliver(root, [b"mine"])
    assert messages(root, "tmp") == [os.fsdecode(other[4:])] and messages(root) == [os.fsdecode(name)]


def test_names_that_are_all_taken_defer(root, monkeypatch):
    taken(monkeypatch, *[1] * (maildir.TRIES + 1))
    os.close(os.open(b"tmp/" + maildir.name(), os.O_CREAT | os.O_EXCL, 0o600, dir_fd=root))
    with pytest.raises(FileExistsError):
        maildir.deliver(root, [b"mine"])
    assert messages(root) == []


def test_a_name_taken_in_new_is_not_overwritten(root, monkeypatch):
    taken(monkeypatch, 1, 1)
    name = maildir.deliver(root, [b"first"])
    with pytest.raises(FileExistsError):
        maildir.deliver(root, [b"second"])
    with open(os.open(b"new/" + name, os.O_RDONLY, dir_fd=root), "rb") as f:
        assert f.read() == b"first"
    assert messages(root, "tmp") == []
