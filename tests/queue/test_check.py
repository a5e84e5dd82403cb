"""The check of the queue: every legal state passes, everything else is named."""
import os

import pytest

from pyqmail.queue import check, names

TODO = b"u0\0p1\0Fs@a\0Tr@b\0"


@pytest.fixture
def queue(tmp_path):
    """A queue directory: .put(kind, content) makes a file of one message; .number is its number."""
    for kind in ("bounce", "intd", "todo", "pid"):
        (tmp_path / kind).mkdir()
    for kind in names.DIRECTORIES_SPLIT:
        for part in range(names.SPLIT):
            (tmp_path / kind / str(part)).mkdir(parents=True)
    return Queue(tmp_path)


class Queue:
    def __init__(self, root):
        self.root = root
        (root / "new").write_bytes(b"x\n")
        self.number = (root / "new").stat().st_ino

    def path(self, kind):
        return self.root / (names.split(kind, self.number) if kind in check.SPLIT else names.flat(kind, self.number))

    def put(self, kind, content=b""):
        if kind == "mess":
            (self.root / "new").rename(self.path("mess"))
        elif kind == "todo" and self.path("intd").exists():
            os.link(self.path("intd"), self.path("todo"))
        else:
            self.path(kind).write_bytes(content)

    def findings(self, owned=None):
        return [(found.kind, found.path.partition("/")[0]) for found in check.findings(str(self.root), owned)]


FILES = {"mess": b"", "intd": TODO, "todo": TODO, "info": b"Fs@a\0", "local": b"Tr@b\0Dx@b\0", "remote": b"Dr@b\0",
         "bounce": b"x"}


@pytest.mark.parametrize("files", [
    [],
    ["mess", "intd", "todo"], ["mess", "todo"], ["mess", "todo", "info"],
    ["mess", "intd", "todo", "info", "local", "remote"],
    ["mess", "info"], ["mess", "info", "local"], ["mess", "info", "local", "remote", "bounce"],
    ["mess", "info", "bounce"]])
def test_states_that_are_legal(queue, files):
    for kind in files:
        queue.put(kind, FILES[kind])
    assert queue.findings() == []


@pytest.mark.parametrize("files, found", [
    (["mess"], [(check.ORPHAN, "mess")]), (["mess", "intd"], [(check.ORPHAN, "mess")]),
    (["intd"], [(check.STATE, "intd")]), (["todo"], [(check.STATE, "todo")]), (["info"], [(check.STATE, "info")]),
    (["mess", "local"], [(check.STATE, "local")]), (["mess", "bounce"], [(check.STATE, "bounce")]),
    (["mess", "intd", "info"], [(check.STATE, "intd")]), (["mess", "todo", "bounce"], [(check.STATE, "bounce")]),
    (["mess", "todo", "intd"], [(check.STATE, "intd")])])
def test_states_that_are_not(queue, files, found):
    for kind in files:
        queue.put(kind, FILES[kind])
    assert queue.findings() == found


@pytest.mark.parametrize("files, where", [
    ({"mess": b"", "todo": TODO[:-1]}, "todo"), ({"mess": b"", "todo": b""}, "todo"),
    ({"mess": b"", "todo": b"Fs\0"}, "todo"),
    ({"mess": b"", "todo": b"u0\0p1\0Tr\0Fs\0"}, "todo"),
    ({"mess": b"", "info": b"Fs"}, "info"), ({"mess": b"", "info": b""}, "info"),
    ({"mess": b"", "info": b"Ts\0"}, "info"),
    ({"mess": b"", "info": b"Fs\0", "local": b""}, "local"), ({"mess": b"", "info": b"Fs\0", "local": b"Tr"}, "local"),
    ({"mess": b"", "info": b"Fs\0", "remote": b"Tr\0Xr\0"}, "remote")])
def test_contents(queue, files, where):
    for kind, content in files.items():
        queue.put(kind, content)
    assert queue.findings() == [(check.CONTENT, where)]


def test_unfinished_files_beside_todo_mean_nothing(queue):
    for kind, content in {"mess": b"", "todo": TODO, "info": b"Fs", "local": b""}.items():
        queue.put(kind, content)
    assert queue.findings() == []


def test_a_copied_queue(queue):
    queue.number += 23
    queue.put("mess")
    queue.put("todo", TODO)
    assert queue.findings() == [(check.INODE, "mess")]


@pytest.mark.parametrize("path", ["mess/0/1", "info/3/03", "local/1/x", "todo/007", "intd/x", "bounce/.1"])
def test_names_in_the_wrong_place(queue, path):
    (queue.root / path).write_bytes(b"")
    assert queue.findings() == [(check.PLACE, path.partition("/")[0])]


def test_owners_and_modes(queue):
    queue.put("mess")
    queue.put("todo", TODO)
    for kind in ("mess", "todo"):
        queue.path(kind).chmod(0o644)
    mine = dict.fromkeys(check.OURS, os.getuid())
    assert queue.findings(mine) == []
    queue.path("mess").chmod(0o600)
    assert queue.findings(mine | {"todo": os.getuid() + 1}) == [(check.OWNER, "mess"), (check.OWNER, "todo")]


def test_a_link_is_not_followed(queue):
    queue.put("mess")
    queue.path("todo").symlink_to("/etc/passwd")
    assert queue.findings(dict.fromkeys(check.OURS, queue.path("mess").stat().st_uid))[-1][0] == check.OWNER


def test_old_pid_files(queue):
    (queue.root / "pid/young").write_bytes(b"")
    (queue.root / "pid/old").write_bytes(b"")
    os.utime(queue.root / "pid/old", (0, 0))
    assert queue.findings() == [(check.ORPHAN, "pid")]
