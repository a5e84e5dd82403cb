"""A queue in any disorder becomes one that qmail-send goes on with: every whole message in it, nothing removed."""
import os
import shutil

import pytest

from pyqmail.queue import check, mend, names

MINE = dict.fromkeys(check.OURS, os.getuid())
MODES = {kind: mode for kind, (_, mode) in check.OURS.items()}
ENVELOPE = b"u0\0p1\0Fs@a\0T%b@b\0"
BEFORE, AFTER = ("mess", "intd", "todo"), ("mess", "info", "local", "remote", "bounce")


class Queue:
    """Messages are known by a word in each of their files."""

    def __init__(self, root):
        self.root = root
        for kind in ("bounce", "intd", "todo", "pid", "lock"):
            (root / kind).mkdir(parents=True)
        for kind in names.DIRECTORIES_SPLIT:
            for part in range(names.SPLIT):
                (root / kind / str(part)).mkdir(parents=True)
        self.told = []

    def put(self, word, kinds, number=None, place=None):
        """A message of these files; its number. number: another than its inode's. place: of the split ones, "next"
        to the right one."""
        new = self.root / "new"
        new.write_bytes(word)
        number = number or new.stat().st_ino
        place = str((number + 1) % 23) if place == "next" else place
        for kind in kinds:
            path = self.path(kind, number, place)
            path.parent.mkdir(exist_ok=True)
            if kind == "mess":
                new.rename(path)
            elif kind == "todo" and "intd" in kinds:
                os.link(self.path("intd", number), path)
            else:
                path.write_bytes({"info": b"Fs@a\0", "bounce": word}.get(kind, ENVELOPE % word if kind in BEFORE
                                                                      else b"T%b@b\0" % word))
            path.chmod(MODES[kind])
        return number

    def path(self, kind, number, place=None):
        if place is not None and kind in check.SPLIT:
            return self.root / kind / place / str(number)
        return self.root / (names.split(kind, number) if kind in check.SPLIT else names.flat(kind, number))

    def mend(self):
        mending = mend.Mend(str(self.root), MINE, os.getgid(), "pid", self.told.append)
        mending.run()
        return mending.moved

    def findings(self):
        return list(check.findings(str(self.root), MINE))

    def whole(self):
        """{word: kinds of files with that word, and info's} of what is in the queue."""
        found = {}
        for kind in check.SPLIT:
            for number in (int(path.name) for path in (self.root / kind).glob("*/*")):
                if kind == "mess":
                    there = {one for one in MODES if self.path(one, number).exists()} - {"intd"}
                    word = self.path("mess", number).read_bytes()
                    assert all(word in self.path(one, number).read_bytes() for one in there - {"info"})
                    assert word not in found, "twice"
                    found[word] = there
        return found

    def aside(self):
        return sorted(path.name for path in self.root.glob("aside/*/*"))


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "queue")


def test_a_queue_in_order_stays_as_it_is(queue):
    queue.put(b"new", BEFORE)
    queue.put(b"old", AFTER)
    half = queue.put(b"half", ("mess", "todo", "info"))
    before = sorted(map(str, queue.root.rglob("*")))
    assert queue.mend() == {} and sorted(map(str, queue.root.rglob("*"))) == before
    assert queue.told == [] and queue.path("info", half).exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_copied_queue(queue, tmp_path, links):
    """No number is right any more; sizes, times and states are."""
    for turn in range(5):
        queue.put(b"new%d" % turn, BEFORE)
        os.utime(queue.path("info", queue.put(b"old%d" % turn, AFTER)), (1000 + turn,) * 2)
    whole = queue.whole()
    copy = Queue(tmp_path / "away")
    shutil.rmtree(copy.root)
    if links:
        os.system(f"cp -a {queue.root} {copy.root}")
    else:
        shutil.copytree(queue.root, copy.root)
    assert {found.kind for found in copy.findings()} >= {check.INODE}
    moved = copy.mend()
    assert len(moved) == 10 and copy.findings() == [] and copy.whole() == whole
    assert sorted(path.stat().st_mtime for path in copy.root.glob("info/*/*")) == [1000, 1001, 1002, 1003, 1004]
    assert copy.aside() == [] and copy.mend() == {}


def test_numbers_that_others_have(queue):
    """Each has the other's number: neither may be overwritten on the way."""
    one = queue.put(b"one", AFTER)
    other = queue.put(b"other", AFTER)
    for kind in AFTER:
        queue.path(kind, one).rename(queue.root / "swap")
        os.rename(queue.path(kind, other), queue.path(kind, one, str(other % 23)))
        (queue.root / "swap").rename(queue.path(kind, other, str(one % 23)))
    queue.mend()
    assert queue.findings() == [] and set(queue.whole()) == {b"one", b"other"}


@pytest.mark.parametrize("place", ["next", "77", ""])
@pytest.mark.parametrize("kinds", [BEFORE, AFTER])
def test_wrong_directories(queue, kinds, place):
    queue.put(b"x", kinds, place=place)
    assert queue.findings()
    assert queue.mend() == {} and queue.findings() == []
    assert queue.whole() == {b"x": set(kinds) - {"intd"}}


def test_names_that_are_the_same_aside_or_too_long_for_it(queue):
    (queue.root / "mess/1.5.x").write_bytes(b"one")
    (queue.root / "mess/1/5.x").write_bytes(b"other")
    for letter in "ab":
        (queue.root / "info/2" / (250 * "x" + letter)).write_bytes(letter.encode())
    queue.mend()
    assert sorted(path.read_bytes() for path in queue.root.glob("aside/*/*")) == [b"a", b"b", b"one", b"other"]
    assert all(any(name in line for line in queue.told) for name in queue.aside()) and queue.findings() == []


def test_todo_split_as_others_do(queue):
    number = queue.put(b"x", BEFORE)
    for kind in ("intd", "todo"):
        (queue.root / kind / "7").mkdir()
        queue.path(kind, number).rename(queue.root / kind / "7" / str(number))
    queue.mend()
    assert queue.findings() == [] and queue.whole() == {b"x": {"mess", "todo"}}


def test_two_messages_of_one_number(queue):
    number = queue.put(b"one", AFTER)
    queue.put(b"two", ("mess", "info", "local"), number, "77")
    queue.mend()
    assert queue.findings() == [] and queue.whole() == {b"one": set(AFTER), b"two": {"mess", "info", "local"}}


@pytest.mark.parametrize("kinds", [
    ("mess",), ("mess", "intd"), ("intd",), ("todo",), ("info", "local"), ("mess", "local"), ("mess", "bounce"),
    ("local", "bounce")])
def test_what_is_incomplete_is_kept_aside(queue, kinds):
    number = queue.put(b"x", kinds)
    queue.mend()
    assert queue.findings() == []
    assert queue.aside() == sorted(f"{kind}.{number % 23}.{number}" if kind in check.SPLIT else f"{kind}.{number}"
                                   for kind in kinds)
    assert len(queue.told) == len(kinds)


@pytest.mark.parametrize("path", ["mess/0/x", "mess/3/03", "todo/007", "bounce/.nfs1", "info/tmp"])
def test_names_that_are_none(queue, path):
    (queue.root / path).write_bytes(b"x")
    queue.mend()
    assert queue.findings() == [] and queue.aside() == [path.replace("/", ".")]


def test_owners_modes_and_links(queue, tmp_path):
    number = queue.put(b"x", AFTER)
    queue.path("mess", number).chmod(0o600)
    queue.path("info", number).chmod(0o644)
    mine = tmp_path / "mine"
    mine.write_bytes(b"Tsecret\0")
    mine.chmod(0o640)
    (queue.root / "todo/123").symlink_to(mine)
    queue.mend()
    assert queue.findings() == [] and queue.aside() == ["todo.123"] and len(queue.told) == 3
    foreign = queue.put(b"y", ("mess", "info"))
    os.link(mine, queue.path("local", foreign))
    queue.mend()
    assert "has a name outside" in queue.told[-1] and mine.stat().st_mode & 0o777 == 0o640


def test_old_pids(queue):
    (queue.root / "pid/1.2.3").write_bytes(b"")
    (queue.root / "pid/2.2.3").write_bytes(b"x")
    queue.mend()
    assert os.listdir(queue.root / "pid") == [] and queue.aside() == ["pid.2.2.3"]


class Broken(Exception):
    pass


def test_broken_off_at_every_step(tmp_path, monkeypatch):
    """After any of its changes a repair may end; the next one finds every message whole."""
    real = {name: getattr(os, name) for name in ("link", "rename", "unlink", "open", "fchmod")}
    for last in range(200):
        queue = Queue(tmp_path / str(last))
        first = queue.put(b"new", BEFORE, 23)
        queue.put(b"old", AFTER, 24)
        queue.put(b"odd", AFTER, place="77")
        queue.put(b"taken", ("mess", "info", "local", "bounce"), queue.path("mess", first).stat().st_ino)
        whole, left = {b"new": {"mess", "todo"}, b"old": set(AFTER), b"odd": set(AFTER),
                       b"taken": {"mess", "info", "local", "bounce"}}, [last]

        def counted(function):
            def call(*words, **options):
                if left[0] == 0:
                    raise Broken
                left[0] -= 1
                return function(*words, **options)
            return call
        for name, function in real.items():
            monkeypatch.setattr(os, name, counted(function))
        try:
            queue.mend()
            done = True
        except Broken:
            done = False
        for name, function in real.items():
            monkeypatch.setattr(os, name, function)
        queue.mend()
        assert queue.findings() == [] and queue.whole() == whole, (last, queue.told)
        shutil.rmtree(queue.root)
        if done:
            return
    pytest.fail("it never ended")
